#!/usr/bin/env python3
"""Writes vectors.json: keys encrypted and tokens signed by another implementation (PyPI package jwcrypto).

Usage: pip install jwcrypto && ./make-vectors.py > vectors.json
"""

import json
import os

from jwcrypto import jwa, jwe, jwk, jws
from jwcrypto.common import base64url_encode

jwa.default_max_pbkdf2_iterations = 10_000_000
PASSWORD = "phoenix-test-provisioner"
CLAIMS = {"aud": "https://ca.test/1.0/sign", "iss": "admin@test", "sub": "web.test", "sans": ["web.test"], "jti": "1"}

KEYS = [
    ("ES256", {"kty": "EC", "crv": "P-256"}, "PBES2-HS256+A128KW", "A256GCM", 600_000),
    ("ES256", {"kty": "EC", "crv": "P-256"}, "PBES2-HS256+A128KW", "A128GCM", 100_000),
    ("ES384", {"kty": "EC", "crv": "P-384"}, "PBES2-HS384+A192KW", "A192GCM", 100_000),
    ("ES512", {"kty": "EC", "crv": "P-521"}, "PBES2-HS512+A256KW", "A256GCM", 210_000),
    ("RS256", {"kty": "RSA", "size": 2048}, "PBES2-HS256+A128KW", "A256GCM", 100_000),
    ("PS256", {"kty": "RSA", "size": 3072}, "PBES2-HS512+A256KW", "A128GCM", 100_000),
    ("EdDSA", {"kty": "OKP", "crv": "Ed25519"}, "PBES2-HS384+A192KW", "A256GCM", 100_000),
]


def vector(alg, shape, kek, enc, iterations):
    key = jwk.JWK.generate(**shape, alg=alg, use="sig")
    key.update(kid=key.thumbprint())
    header = {
        "alg": kek,
        "cty": "jwk+json",
        "enc": enc,
        "p2c": iterations,
        "p2s": base64url_encode(os.urandom(16)),
    }
    sealed = jwe.JWE(key.export_private().encode(), json.dumps(header), algs=[kek, enc])
    sealed.add_recipient(PASSWORD)
    token = jws.JWS(json.dumps(CLAIMS).encode())
    token.add_signature(key, alg, json.dumps({"alg": alg, "kid": key["kid"], "typ": "JWT"}))
    return {
        "name": f"{alg} {kek} {enc} {iterations}",
        "thumbprint": key.thumbprint(),
        "public": key.export_public(as_dict=True),
        "jwe": sealed.serialize(compact=True),
        "token": token.serialize(compact=True),
    }


print(json.dumps({"password": PASSWORD, "keys": [vector(*key) for key in KEYS]}, indent=1))
