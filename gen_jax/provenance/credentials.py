"""Content credentials (C2PA 2, https://spec.c2pa.org): a signed statement inside the image file.

Offline throughout: an own certificate authority, no time-stamp authority, nothing fetched. Needs the optional
extra `gen_jax[c2pa]`.

A signature shows that the file is as it was when it was signed, and by whose key. It does not show that what
the signer states is true. Without a time stamp it counts as trusted only while the certificate is valid.
"""

import datetime
import importlib.util
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gen_jax.command import command
from gen_jax.errors import InputError
from gen_jax.provenance.records import PNG, open_image, png_chunks, read_bytes
from gen_jax.runtime import files
from gen_jax.runtime.files import reason, write_whole
from gen_jax.version import __version__

AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RECORD = "gen_jax.record"
VALID_DAYS = 3650
# A thumbnail would cost more than all the rest; what is not in the file is not asked for.
SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
# The type of every manifest store and names inside it: where a manifest is damaged and cannot be found in its
# place any more, one of them is left.
TRACES = (b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x008\x9bq", b"c2pa.claim", b"c2pa.signature")


class Verdict(NamedTuple):
    """What the credentials of one file amount to."""

    # "trusted", "valid but not trusted", "tampered" or "absent".
    state: str
    # Why, in words; empty where trusted, and where nothing is there.
    reasons: tuple[str, ...]
    # The name in the certificate. Anybody can make a certificate in any name: it means something where trusted.
    signer: str | None
    # {"generator", "actions": [{"action", "source"}], "record", "serial"}, or None where there is nothing to read.
    manifest: dict | None


def installed() -> bool:
    """Whether the optional extra is there."""
    return all(importlib.util.find_spec(name) is not None for name in ("c2pa", "cryptography"))


def make_identity(folder: str | Path, name: str) -> None:
    """Makes a new folder with an own certificate authority and a signing certificate (ES256) for `name`.

    The folder holds ca.pem (the anchor, to give to those who verify), ca.key, signer.pem and signer.key. Keys
    are readable by their owner alone. Both certificates are valid for ten years from yesterday.

    Raises:
      InputError: the folder is there and not empty (an identity is never overwritten), it cannot be written,
        the name cannot stand in a certificate, or the optional extra is missing.
    """
    _library()
    folder = Path(folder)
    if not name.strip() or not name.isprintable() or len(name) > 64:
        raise InputError(f"the name {name[:80]!r} cannot stand in a certificate; use 1 to 64 printable characters")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is there already, and an identity is never overwritten; choose another folder")
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made beside its place with mode 0700 and moved in one step: whole or not at all.
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for file, content in _identity(name).items():
            mode = 0o600 if file.endswith(".key") else 0o644
            with open(os.open(temporary / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(content)
        # Fails where somebody filled the folder in the meantime.
        temporary.rename(folder)
    except OSError as error:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(f"cannot make {folder} ({reason(error)}); choose another folder") from error


def sign(path: str | Path, folder: str | Path, record: dict) -> None:
    """Embeds credentials in the .png, .webp, .gif or .jpg at `path`, in place: whole or not at all.

    States c2pa.created by a trained algorithm, gen_jax and its version, and `record` with its values as text.
    Costs some 3 KB. Every byte of the file is covered, save padding and some names inside the credentials.

    Args:
      path: an image that has no credentials yet.
      folder: as `make_identity` made it; ca.key is not needed.
      record: {name: value}, as it went into the image's own text.

    Raises:
      InputError: no image, an image that has credentials, no usable identity, a file that cannot be written,
        or the optional extra is missing.
    """
    _library()
    path = Path(path)
    data = read_bytes(path)
    media_type = f"image/{open_image(path, data).format.lower()}"
    if _traces(data):
        raise InputError(f"{path} has credentials already; sign an image once, when it is made")
    signed = _signed(data, media_type, Path(folder), record)
    try:
        write_whole(path, signed)
    except OSError as error:
        raise InputError(f"cannot write {path} ({reason(error)}); choose another place") from error


def check_identity(folder: str | Path) -> None:
    """Signs an image of one pixel, in memory: the InputError of `sign`, if there is one, before any work."""
    pixel = io.BytesIO()
    Image.new("L", (1, 1)).save(pixel, "PNG")
    _signed(pixel.getvalue(), "image/png", Path(folder), {})


def verify(path: str | Path, anchors: str | Path | None = None) -> Verdict:
    """The Verdict on the image at `path`.

    * "trusted": unchanged since it was signed, and the signer's certificate leads to one of `anchors`.
    * "valid but not trusted": unchanged since it was signed, by somebody that no anchor vouches for; or the
      certificate has expired.
    * "tampered": the file is not what was signed, be it by purpose or by accident.
    * "absent": no credentials in the file; those kept elsewhere are not fetched.

    One changed byte anywhere in a PNG is seen, because its chunks have checksums too. What C2PA itself leaves
    uncovered is a third of the credentials' own bytes: padding and some names. In a .webp, .gif or .jpg, or in a
    PNG with its checksum made right again, a change there goes unseen; nothing that is shown depends on it.

    Args:
      path: an image.
      anchors: a PEM file of certificate authorities, as ca.pem of `make_identity`; None trusts nobody.

    Raises:
      InputError: no image, anchors that hold no certificate, or the optional extra is missing.
    """
    c2pa = _library()
    settings = {**SETTINGS, "trust": {"trust_anchors": _anchors(anchors)}} if anchors is not None else SETTINGS
    data = read_bytes(path)
    damage = _damage(data)
    try:
        with c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(None, io.BytesIO(data), None, context)
            if reader is not None:
                with reader:
                    return _verdict(json.loads(reader.json()), damage)
    except c2pa.C2paError as error:
        damage += (_line(error),)
    if _traces(data):
        return Verdict("tampered", ("credentials are there but damaged", *damage), None, None)
    if not data.startswith(PNG):
        open_image(path, data)
    elif next(png_chunks(data), None) is None:
        raise InputError(f"{path} is not an image that can be read; give a .png, .webp, .gif or .jpg")
    return Verdict("absent", damage, None, None)


def _signed(data, media_type, folder, record) -> bytes:
    try:
        # The anchor is left out: who verifies must have it from elsewhere, or it would prove nothing.
        certificate, key = (files.read_bytes(folder / name) for name in ("signer.pem", "signer.key"))
    except OSError as error:
        hint = f"make an identity: {command('identity', 'FOLDER')}"
        raise InputError(f"no signer.pem and signer.key can be read in {folder}; {hint}") from error
    c2pa = _library()
    made = {"actions": [{"action": "c2pa.created", "digitalSourceType": AI}]}
    told = {name: str(value) for name, value in record.items()}
    statement = {
        "claim_generator_info": [{"name": "gen_jax", "version": __version__}],
        "assertions": [{"label": "c2pa.actions.v2", "data": made}, {"label": RECORD, "data": told}],
    }
    signed = io.BytesIO()
    try:
        with (
            c2pa.Context.from_dict(SETTINGS) as context,
            c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", certificate, key, None)) as signer,
            c2pa.Builder(statement, context) as builder,
        ):
            builder.sign(signer, media_type, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise InputError(f"cannot sign with {folder} ({_line(error)}); make another identity") from error
    return signed.getvalue()


def _verdict(store, damage) -> Verdict:
    # A damaged or hostile manifest may lack any part of this.
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    results = store.get("validation_results", {}).get("activeManifest", {})
    signature = manifest.get("signature_info") or {}
    failures = results.get("failure", [])
    state = {"Trusted": "trusted", "Valid": "valid but not trusted"}.get(store["validation_state"], "tampered")
    # An expired certificate makes the library say "Invalid", which is no tampering: bytes and signature still match.
    codes = {failure["code"] for failure in failures}
    unchanged = "claimSignature.validated" in {success["code"] for success in results.get("success", [])}
    if codes and unchanged and codes <= {"signingCredential.untrusted", "signingCredential.expired"}:
        state = "valid but not trusted"
    if damage or not manifest:
        state = "tampered"
    reasons = tuple(failure.get("explanation") or failure["code"] for failure in failures) + damage
    signer = signature.get("common_name") or signature.get("issuer")
    return Verdict(state, reasons, signer, _summary(manifest, signature))


def _summary(manifest, signature) -> dict:
    actions, record = [], None
    for assertion in manifest.get("assertions") or []:
        label, data = assertion.get("label"), assertion.get("data")
        if label in ("c2pa.actions", "c2pa.actions.v2") and isinstance(data, dict):
            steps = data.get("actions") or []
            actions += [{"action": step.get("action"), "source": step.get("digitalSourceType")} for step in steps]
        if label == RECORD and isinstance(data, dict):
            record = data
    generators = [
        f"{g.get('name')} {g.get('version') or ''}".strip() for g in manifest.get("claim_generator_info") or []
    ]
    return {
        "generator": ", ".join(generators) or manifest.get("claim_generator"),
        "actions": actions,
        "record": record,
        "serial": signature.get("cert_serial_number"),
    }


def _damage(data) -> tuple[str, ...]:
    """The chunks of a PNG that fail their checksums; the signature does not cover its own padding."""
    if not data.startswith(PNG):
        return ()
    bad = [chunk.kind.decode("latin-1") for chunk in png_chunks(data) if not chunk.intact]
    return tuple(f"the PNG chunk {kind!r} is damaged" for kind in bad)


def _traces(data) -> bool:
    return any(trace in data for trace in TRACES)


def _anchors(path) -> str:
    from cryptography import x509

    data = read_bytes(path)
    try:
        x509.load_pem_x509_certificates(data)
        return data.decode()
    except ValueError as error:
        raise InputError(f"{path} holds no certificate; give the ca.pem of those you trust") from error


def _library():
    if not installed():
        raise InputError("content credentials need an optional extra; install it: pip install 'gen_jax[c2pa]'")
    import c2pa

    return c2pa


def _line(error) -> str:
    return " ".join(str(error).split())


def _identity(name, days=VALID_DAYS) -> dict[str, bytes]:
    """{file: content} of a fresh authority and signer, valid from yesterday for clocks that go wrong."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    authority, signer = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def subject(common_name):
        names = {x509.NameOID.ORGANIZATION_NAME: name, x509.NameOID.COMMON_NAME: common_name}
        return x509.Name([x509.NameAttribute(*item) for item in names.items()])

    def certificate(key, common_name, is_authority):
        usage = x509.KeyUsage(
            digital_signature=not is_authority,
            key_cert_sign=is_authority,
            crl_sign=is_authority,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(common_name))
            .issuer_name(subject("Certificate authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if not is_authority:
            # C2PA wants a purpose; this is the one that every verifier knows.
            purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=False)
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def private(key):
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return key.private_bytes(encoding, form, serialization.NoEncryption())

    return {
        "ca.pem": certificate(authority, "Certificate authority", True),
        "ca.key": private(authority),
        "signer.pem": certificate(signer, name, False),
        "signer.key": private(signer),
    }
