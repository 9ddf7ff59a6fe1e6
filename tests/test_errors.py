import pytest

from gen_jax.errors import Failed, InputError, in_one_line


def test_a_script_ends_as_the_command_does(capsys):
    with pytest.raises(SystemExit) as ended, in_one_line():
        raise InputError("no run in x; train one")
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "error: no run in x; train one\n")


def test_what_is_no_refusal_keeps_its_traceback():
    with pytest.raises(Failed), in_one_line():
        raise Failed("lost")
