"""A security key made of software: it registers and signs as a real one does, and counts as it is told to."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import sha256, websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from tests import factories as make

PRESENT_AND_VERIFIED = 0x01 | 0x04
HAS_CREDENTIAL = 0x40


class SoftKey:
    """One key of one site. `options` is what the portal's page gives the browser."""

    def __init__(self, host="testserver"):
        self.host = host
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = secrets.token_bytes(16)

    def _said(self, kind, challenge):
        return CollectedClientData.create(type=kind, challenge=challenge, origin=f"https://{self.host}")

    def registered(self, counter=0):
        """What the portal keeps of this key once it was added, while it said this count."""
        public = ES256.from_cryptography_key(self.private.public_key())
        data = AuthenticatorData.create(
            sha256(self.host.encode()),
            PRESENT_AND_VERIFIED | HAS_CREDENTIAL,
            counter,
            AttestedCredentialData.create(b"\0" * 16, self.credential_id, public),
        )
        return self._sent(
            attestationObject=websafe_encode(AttestationObject.create("none", data, {})),
            clientDataJSON=websafe_encode(self._said("webauthn.create", b"0" * 32)),
        )

    def answer(self, options, counter):
        """Sign the challenge in `options`, with this count of signatures."""
        challenge = websafe_decode(options["publicKey"]["challenge"])
        said = self._said("webauthn.get", challenge)
        data = AuthenticatorData.create(sha256(self.host.encode()), PRESENT_AND_VERIFIED, counter)
        signature = self.private.sign(data + said.hash, ec.ECDSA(hashes.SHA256()))
        return self._sent(
            authenticatorData=websafe_encode(data),
            clientDataJSON=websafe_encode(said),
            signature=websafe_encode(signature),
        )

    def _sent(self, **response):
        name = websafe_encode(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}


def held_by(user, *, counter=0, name="Blue key"):
    """Give `user` such a key; return it and its row."""
    key = SoftKey()
    row = make.key(user, name)
    row.data["credential"] = key.registered(counter)
    row.save()
    return key, row
