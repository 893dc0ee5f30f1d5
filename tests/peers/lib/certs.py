"""Certificates as bytes: DER, PEM, and the header that Envoy makes of them."""

import base64
import hashlib
import textwrap
import urllib.parse


def split_der(blob):
    """Cuts concatenated DER certificates, as the Workload API sends them."""
    parts = []
    while blob:
        if blob[0] != 0x30:
            raise ValueError(f"not a certificate: it begins with {blob[0]:#x}")
        first = blob[1]
        if first < 0x80:
            header, length = 2, first
        else:
            header = 2 + (first & 0x7F)
            length = int.from_bytes(blob[2:header], "big")
        parts.append(blob[:header + length])
        blob = blob[header + length:]
    return parts


def contents(element):
    """The value of one element of DER."""
    return element[2 + (element[1] & 0x7F if element[1] >= 0x80 else 0):]


def first(blob):
    """The first of elements that need not be alike: (element, the rest)."""
    length, size = 2, blob[1]
    if size >= 0x80:
        length += size & 0x7F
        size = int.from_bytes(blob[2:length], "big")
    return blob[:length + size], blob[length + size:]


def remade(der, change):
    """A certificate whose signed part is changed, and its signature is not: fit to be an authority only."""
    signed, rest = first(contents(der))
    return sequence(sequence(change(contents(signed))) + rest)


def sequence(value):
    return b"\x30\x82" + len(value).to_bytes(2, "big") + value


def unreadable(der):
    """With one more field after the last: Go overlooks it, X.690 has no place for it."""
    return remade(der, lambda fields: fields + b"\x05\x00")


def variant(der, number):
    """One of many that differ: this number is the end of its serial number."""
    def change(fields):
        version, rest = first(fields)
        serial, rest = first(rest)
        return version + serial[:-1] + bytes([number]) + rest
    return remade(der, change)


def pem(der, label="CERTIFICATE"):
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


def pem_to_der(text):
    """Every certificate of a PEM text, in order."""
    parts = text.split("-----BEGIN CERTIFICATE-----")[1:]
    return [base64.b64decode(part.split("-----END CERTIFICATE-----")[0]) for part in parts]


def sha256_hex(der):
    return hashlib.sha256(der).hexdigest()


def escaped(text):
    """Percent-encoded as Envoy does it (captured-xfcc.txt is the witness)."""
    return urllib.parse.quote(text, safe="-._~")


def xfcc(chain, uri, with_chain=True):
    """One element for a chain in DER, leaf first, as Envoy writes it for SPIRE's
    certificates with SANITIZE_SET (the suite of envoy/ compares byte for byte)."""
    parts = ["By=spiffe://example.org/edge", f"Hash={sha256_hex(chain[0])}", f'Cert="{escaped(pem(chain[0]))}"']
    if with_chain:
        parts.append(f'Chain="{escaped("".join(map(pem, chain)))}"')
    parts += ['Subject="O=SPIRE,C=US"', f"URI={uri}"]
    return ";".join(parts)
