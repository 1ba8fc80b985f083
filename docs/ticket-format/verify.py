#!/usr/bin/env python3
"""Verify Mwimule tickets with a COSE library that has never heard of Mwimule.

    python3 -m venv .venv && .venv/bin/pip install 'cwt>=3,<4'
    .venv/bin/python verify.py report.json            # every ticket, then altered ones
    .venv/bin/python verify.py --vectors vectors.json # the published good and bad vectors

A report is a JSON object with `tickets` (each with `qr`) and `key_bundle` (a list of
`{kid, alg, public_key}`, kid and key in hexadecimal, alg "EdDSA"). Every ticket must verify.
Then, for a sample, each character is replaced by each other character of the alphabet, and none
of those texts may verify. Ends with one line and status 0, or 1 if anything is wrong.
"""

import argparse
import hashlib
import hmac
import json
import sys

import cbor2
from cwt import COSE, COSEKey

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
PREFIX = "MW1:"
MESSAGE_LEN_MAX = 144
TYP_TICKET = 1
# COSE numbers (RFC 9052, 9053, 9596).
TAG_SIGN1, TAG_MAC0 = 18, 17
ALG_EDDSA, ALG_HMAC_256 = -8, 5
LABEL_ALG, LABEL_KID, LABEL_TYP = 1, 4, 16
FIELDS = ("seat", "from", "to", "class", "ordinal", "layout_version", "test")
CLASSES = ("adult", "child", "infant", "prm")
WIDTHS = {"seat": 16, "ordinal": 16, "layout_version": 32, "lease_no": 16, "lease_epoch": 32}


class Refused(Exception):
    """The text is no genuine ticket."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def base45_decode(text):
    """RFC 9285, strict."""
    need(len(text) % 3 != 1, "a lone character at the end")
    out = bytearray()
    for i in range(0, len(text), 3):
        group = text[i : i + 3]
        need(all(c in ALPHABET for c in group), f"not Base45 at character {i + 1}")
        n = sum(ALPHABET.index(c) * 45**j for j, c in enumerate(group))
        width = len(group) - 1
        need(n < 256**width, f"Base45 group out of range at character {i + 1}")
        out += n.to_bytes(width, "big")
    return bytes(out)


def has_keys(value, keys):
    """Whether it is a map with these integer keys in this order; in Python `True == 1`."""
    return type(value) is dict and [(type(k), k) for k in value] == [(int, k) for k in keys]


def is_uint(value, bits):
    return type(value) is int and 0 <= value < 1 << bits


def read_claim(payload):
    """The payload's fields by name."""
    need(has_keys(payload, [0, 1, 2, 3]), "payload keys are 0 to 3")
    ticket_id, trip, issued_at_s, seat = (payload[k] for k in range(4))
    need(type(ticket_id) is bytes and len(ticket_id) == 16, "the id has 16 bytes")
    need(is_uint(trip, 64) and is_uint(issued_at_s, 32), "trip and time are unsigned")
    need(type(seat) is list and len(seat) in (7, 9), "the seat array has 7 or 9 members")
    claim = {"id": ticket_id.hex(), "trip": trip, "issued_at_s": issued_at_s}
    claim.update(zip(FIELDS + ("lease_no", "lease_epoch"), seat))
    for name, bits in WIDTHS.items():
        need(name not in claim or is_uint(claim[name], bits), f"{name} has at most {bits} bits")
    need(is_uint(claim["from"], 8) and is_uint(claim["to"], 8), "stops are unsigned")
    need(claim["from"] < claim["to"] <= 64, "the journey leads forwards, to stop 64 at most")
    need(is_uint(claim["class"], 8) and claim["class"] < len(CLASSES), "no such class")
    claim["class"] = CLASSES[claim["class"]]
    need(type(claim["test"]) is bool, "the test flag is true or false")
    return claim


def verify(qr, keys):
    """The claim of a genuine ticket; otherwise raises `Refused`.

    `keys` maps a kid to `(alg, COSEKey, trip)`; trip is None for a key that is good for all.
    """
    need(qr.startswith(PREFIX), "the prefix is missing")
    need(len(qr) <= len(PREFIX) + MESSAGE_LEN_MAX // 2 * 3, "too long")
    message = base45_decode(qr[len(PREFIX) :])
    need(len(message) <= MESSAGE_LEN_MAX, "too long")
    try:
        outer = cbor2.loads(message)
        need(type(outer) is cbor2.CBORTag and type(outer.value) is list, "not a COSE message")
        need(len(outer.value) == 4, "not a COSE message")
        protected, unprotected, payload, _ = outer.value
        header, claim = cbor2.loads(protected), cbor2.loads(payload)
        canonical = cbor2.dumps(outer) == message
        canonical = canonical and cbor2.dumps(header) == protected
        canonical = canonical and cbor2.dumps(claim) == payload
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"not readable: {error}") from error
    need(canonical, "not written in the one allowed way")
    need(unprotected == {}, "the unprotected header is empty")
    need(has_keys(header, [LABEL_ALG, LABEL_KID, LABEL_TYP]), "the header has alg, kid and typ")
    need(type(header[LABEL_ALG]) is int, "alg is a number")
    need(type(header[LABEL_TYP]) is int and header[LABEL_TYP] == TYP_TICKET, "not a ticket")
    need(type(header[LABEL_KID]) is bytes and len(header[LABEL_KID]) == 4, "kid has 4 bytes")
    need(header[LABEL_KID] in keys, "no key of this name")
    # The key decides the algorithm; the header may only agree.
    alg, key, trip = keys[header[LABEL_KID]]
    need(header[LABEL_ALG] == alg, "the key is for another algorithm")
    need(outer.tag == {ALG_EDDSA: TAG_SIGN1, ALG_HMAC_256: TAG_MAC0}[alg], "wrong COSE tag")
    claim = read_claim(claim)
    need(trip in (None, claim["trip"]), "the key is for another trip")
    try:
        COSE.new().decode(message, key)
    except Exception as error:
        raise Refused(f"signature: {error}") from error
    return claim


def public_keys(bundle):
    keys = {}
    for entry in bundle:
        if entry["alg"] != "EdDSA":
            raise ValueError(f"key {entry['kid']}: alg {entry['alg']} is not EdDSA")
        kid, x = bytes.fromhex(entry["kid"]), bytes.fromhex(entry["public_key"])
        # OKP key (1: 1), kid (2), alg (3), verify only (4: [2]), curve Ed25519 (-1: 6), x (-2).
        key = COSEKey.new({1: 1, 2: kid, 3: ALG_EDDSA, 4: [2], -1: 6, -2: x})
        keys[kid] = (ALG_EDDSA, key, None)
    return keys


def mac_keys(entries):
    keys = {}
    for entry in entries:
        kid, k = bytes.fromhex(entry["kid"]), bytes.fromhex(entry["key"])
        # Symmetric key (1: 4), kid (2), alg (3), MAC verify (4: [10]), the key (-1).
        key = COSEKey.new({1: 4, 2: kid, 3: ALG_HMAC_256, 4: [10], -1: k})
        keys[kid] = (ALG_HMAC_256, key, entry["trip"])
    return keys


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def short_code(claim, kid, mac_key):
    """The code that stands for a ticket of this issuer on this trip; None where it has none."""
    if claim["test"] or not 1 <= claim["seat"] <= 500 or claim["ordinal"] > 31:
        return None
    right = b"mwimule short code right v1"
    right += (claim.get("lease_no") or 0).to_bytes(2, "big")
    right += (claim.get("lease_epoch") or 0).to_bytes(4, "big")
    right += claim["layout_version"].to_bytes(4, "big")
    right = int.from_bytes(hashlib.sha256(right).digest()[:2], "big") >> 4
    says = kid[0] >> 2
    for bits, value in (
        (9, claim["seat"]),
        (6, claim["from"]),
        (6, claim["to"] - 1),
        (5, claim["ordinal"]),
        (12, right),
    ):
        says = says << bits | value
    covered = b"mwimule short code v1" + says.to_bytes(6, "big")
    tag = hmac.new(mac_key, covered, hashlib.sha256).digest()
    whole = says << 36 | int.from_bytes(tag[:5], "big") >> 4
    digits = "".join(CROCKFORD[whole >> shift & 31] for shift in range(75, -1, -5))
    return "-".join(digits[at : at + 4] for at in range(0, 16, 4))


def outcome(qr, keys):
    """None if the text verifies, else why it does not."""
    try:
        verify(qr, keys)
    except Refused as why:
        return str(why)
    return None


def altered(qr):
    for i, old in enumerate(qr):
        for new in ALPHABET:
            if new != old:
                yield qr[:i] + new + qr[i + 1 :]


def check_report(report, sample):
    keys = public_keys(report["key_bundle"])
    texts = [ticket["qr"] for ticket in report["tickets"]]
    failures = [(qr, why) for qr in texts if (why := outcome(qr, keys)) is not None]
    for qr, why in failures[:10]:
        print(f"does not verify: {qr}: {why}", file=sys.stderr)
    step = max(1, len(texts) // sample) if sample else 1
    sampled = texts[::step][:sample]
    changed = verified = 0
    for qr in sampled:
        for text in altered(qr):
            changed += 1
            verified += outcome(text, keys) is None
    print(
        f"{len(texts) - len(failures)} of {len(texts)} tickets verify; "
        f"of {changed} single-character changes to {len(sampled)} of them, {verified} verify"
    )
    return bool(texts) and not failures and not verified


def check_vectors(vectors):
    keys = public_keys(vectors["key_bundle"]) | mac_keys(vectors["mac_keys"])
    wrong = 0
    for good in vectors["good"]:
        expected = {k: v for k, v in good["claim"].items() if v is not None}
        expected["id"] = expected["id"].replace("-", "")
        try:
            found = verify(good["qr"], keys)
        except Refused as why:
            found = str(why)
        if found != expected:
            wrong += 1
            print(f"good vector {good['name']!r}: {found}", file=sys.stderr)
    codes = 0
    for good in vectors["good"]:
        for entry in vectors["mac_keys"]:
            if entry["trip"] == good["claim"]["trip"]:
                kid, key = bytes.fromhex(entry["kid"]), bytes.fromhex(entry["key"])
                codes += 1
                if short_code(good["claim"], kid, key) != good["short_code"]:
                    wrong += 1
                    print(f"good vector {good['name']!r} has another code", file=sys.stderr)
    if not codes:
        wrong += 1
        print("no vector has a code that can be checked", file=sys.stderr)
    for bad in vectors["bad"]:
        if outcome(bad["qr"], keys) is None:
            wrong += 1
            print(f"bad vector {bad['name']!r} verifies", file=sys.stderr)
    total = len(vectors["good"]) + len(vectors["bad"])
    print(f"{total - wrong} of {total} vectors as published")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="report (or, with --vectors, vector file) to check")
    parser.add_argument("--vectors", action="store_true", help="the file holds vectors")
    parser.add_argument("--sample", type=int, default=3, help="how many tickets to alter")
    args = parser.parse_args()
    with open(args.file, encoding="utf-8") as file:
        content = json.load(file)
    good = check_vectors(content) if args.vectors else check_report(content, args.sample)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
