#!/usr/bin/env python3
"""Speaks to a hub in encrypted bodies, as docs/jose/README.md says. Needs joserfc.

client.py BASE PATH [NAME:VALUE ...] < body.json   posts the body encrypted, prints the answer
client.py --verify BASE [AUDIENCE [NOW]] < token   checks an access token by the hub's key set
"""

import json
import sys
import urllib.error
import urllib.request

from joserfc import jwe, jwt
from joserfc.jwk import KeySet, OKPKey

HEADERS = jwe.JWERegistry(algorithms=["ECDH-ES", "A256GCM"], strict_check_header=False)


def key_set(base):
    with urllib.request.urlopen(f"{base}/.well-known/jwks.json") as answer:
        return json.load(answer)["keys"]


def post(base, path, body, headers):
    hub = next(key for key in key_set(base) if key["use"] == "enc")
    ours = OKPKey.generate_key("X25519")
    protected = {
        "alg": "ECDH-ES",
        "enc": "A256GCM",
        "kid": hub["kid"],
        "htm": "POST",
        "htu": path,
        "reply_jwk": {k: ours.as_dict(private=False)[k] for k in ("kty", "crv", "x")},
    }
    sent = jwe.encrypt_compact(protected, body, OKPKey.import_key(hub), registry=HEADERS)
    request = urllib.request.Request(f"{base}{path}", data=sent.encode(), method="POST")
    request.add_header("Content-Type", "application/jose")
    for header in headers:
        name, value = header.split(":", 1)
        request.add_header(name, value)
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        answer = error
    text = answer.read()
    kind = answer.headers["Content-Type"]
    if kind == "application/jose":
        opened = jwe.decrypt_compact(text, ours, registry=HEADERS)
        text, kind = opened.plaintext, opened.protected["cty"]
        encrypted = True
    else:
        encrypted = False
    return {"status": answer.status, "encrypted": encrypted, "type": kind, "body": json.loads(text)}


def verify(base, token, audience="urn:mwimule:api", now=None):
    keys = KeySet.import_key_set({"keys": [k for k in key_set(base) if k["use"] == "sig"]})
    opened = jwt.decode(token, keys, algorithms=["EdDSA"])
    if opened.header["typ"] != "at+jwt":
        raise ValueError("another kind of token")
    needed = {name: {"essential": True} for name in ("exp", "nbf", "iat", "sub", "jti")}
    needed["iss"] = {"essential": True, "value": "urn:mwimule:hub"}
    needed["aud"] = {"essential": True, "value": audience}
    jwt.JWTClaimsRegistry(now=now, **needed).validate(opened.claims)
    return {"header": opened.header, "claims": opened.claims}


def main():
    if sys.argv[1] == "--verify":
        base, *expected = sys.argv[2:]
        if len(expected) == 2:
            expected[1] = int(expected[1])
        said = verify(base, sys.stdin.read().strip(), *expected)
    else:
        said = post(sys.argv[1], sys.argv[2], sys.stdin.buffer.read(), sys.argv[3:])
    print(json.dumps(said))


if __name__ == "__main__":
    main()
