"""One image, in plain words: what it claims, what was verified, and what neither of them proves."""

from pathlib import Path

from gen_jax.errors import InputError
from gen_jax.provenance import credentials
from gen_jax.provenance.records import read_record

LONGEST_VALUE = 120


def inspect(path: str | Path, anchors: str | Path | None = None) -> dict:
    """The report on the image at `path`, ready for JSON.

    Args:
      path: an image.
      anchors: a PEM file of certificate authorities to trust, as ca.pem of `make_identity`; None: nobody.

    Returns:
      {"image": path, "claims": what `read_record` gives, "credentials": the fields of `verify`'s Verdict,
      "sentences": [...]}. Without the optional extra the state of the credentials is "not checked".

    Raises:
      InputError: not an image, unusable anchors, or anchors without the optional extra.
    """
    if anchors is None and not credentials.installed():
        reason = "the optional extra is missing: pip install 'gen_jax[c2pa]'"
        verdict = credentials.Verdict("not checked", (reason,), None, None)
    else:
        verdict = credentials.verify(path, anchors)
    try:
        claims = read_record(path)
    except InputError:
        # Credentials in a file that is no image any more: the one thing to say is that it was tampered with.
        if verdict.state != "tampered":
            raise
        claims = {}
    report = {"image": str(path), "claims": claims, "credentials": {**verdict._asdict(), "reasons": [*verdict.reasons]}}
    return {**report, "sentences": sentences(report)}


def sentences(report: dict) -> list[str]:
    """What a report of `inspect` means, line by line; text from the file is quoted, control characters escaped."""
    return [*_claimed(report["claims"]), *_verified(report["credentials"])]


def _claimed(claims):
    if not claims:
        return ["The file says nothing about itself in text. That proves nothing: text is easily stripped."]
    told = ", ".join(f"{_quoted(name)}: {_quoted(value)}" for name, value in claims.items())
    return [
        f"The file says of itself: {told}.",
        "That is a claim: anybody can write such text, change it or strip it.",
    ]


def _verified(verdict):
    signer = _quoted(verdict["signer"]) if verdict["signer"] else "somebody without a name"
    why = f" ({'; '.join(repr(reason)[1:-1] for reason in verdict['reasons'])})" if verdict["reasons"] else ""
    limit = "A signature shows who states this and that the file is unchanged, not that it is true."
    match verdict["state"]:
        case "trusted":
            return [
                f"Verified: signed by {signer}, whom your anchors vouch for, and unchanged since.",
                *_stated(verdict["manifest"]),
                limit,
            ]
        case "valid but not trusted":
            return [
                f"Verified: unchanged since it was signed. Not verified: who signed it{why}. The certificate says "
                f"{signer}, and anybody can make one in any name.",
                *_stated(verdict["manifest"]),
                limit,
            ]
        case "tampered":
            return [
                f"Tampered: the file is not what was signed, by purpose or by accident{why}. Rely on nothing in it, "
                "the name of the signer included."
            ]
        case "absent":
            return [
                f"No content credentials{why}. Their absence proves nothing: neither that a person made the image nor "
                "that it was not altered. Most programs drop them when they save an image."
            ]
    return [f"Content credentials were not checked{why}. Nothing was verified."]


def _stated(manifest):
    done = [
        _quoted(action["action"])
        + (
            " by a trained algorithm (AI-generated)"
            if (action["source"] or "").endswith("/trainedAlgorithmicMedia")
            else ""
        )
        for action in manifest["actions"]
    ]
    told = [f"{_quoted(name)}: {_quoted(value)}" for name, value in (manifest["record"] or {}).items()]
    parts = [
        ", ".join(done) or "nothing of how it was made",
        f"program {_quoted(manifest['generator'])}",
        ", ".join(told),
    ]
    return [f"The signer states: {'; '.join(filter(None, parts))}."]


def _quoted(value):
    # repr keeps what can be printed in any script and escapes the rest, turned-around text included.
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
