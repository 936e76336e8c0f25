"""Checks the vectors of version 1 with another implementation (Python, `cryptography`): run it by hand after reading sealed.rs.

It shares no code with the ledger: tree, tiles, checkpoint signature, sidecars, commitments and the evidence's single proof.
"""

import base64, hashlib, hmac, json, pathlib, struct, zipfile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC

HERE = pathlib.Path(__file__).parent / "v1"
LOG = HERE / "log"
sha = lambda data: hashlib.sha256(data).digest()


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root(leaves[:split]) + root(leaves[split:]))


def items(path, size):
    data, out = (LOG / path).read_bytes(), []
    while data:
        length = int.from_bytes(data[:size], "big")
        out.append(data[size : size + length])
        data = data[size + length :]
    return out


def verify_note(note, vkey):
    text, signatures = note.decode().split("\n\n")
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key)
    assert key[0] == 1 and bytes.fromhex(key_id) == sha(name.encode() + b"\n" + key)[:4]
    _, signer, signature = signatures.split(" ")
    signature = base64.b64decode(signature)
    assert signer == name and signature[:4] == bytes.fromhex(key_id)
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode() + b"\n")
    return text.split("\n")


def xaes(key, nonce, aad, sealed):
    def cmac(counter):
        mac = CMAC(algorithms.AES(key))
        mac.update(bytes([0, counter]) + b"X\0" + nonce[:12])
        return mac.finalize()

    return AESGCM(cmac(1) + cmac(2)).decrypt(nonce[12:], sealed, aad)


def commitment(salt, field, value):
    return hmac.digest(salt, b"\1" + field.encode() + struct.pack(">Q", len(value)) + value, "sha256").hex()


vkey = (HERE / "log.vkey").read_text().strip()
entries = items("tile/entries/000", 2) + items("tile/entries/001.p/2", 2)
sidecars = items("sidecar/000", 4) + items("sidecar/001.p/2", 4)
leaves = [sha(b"\0" + entry) for entry in entries]
origin, size, stated = verify_note((LOG / "checkpoint").read_bytes(), vkey)
assert base64.b64decode(stated) == root(leaves) == bytes.fromhex((HERE / "root.hex").read_text())
assert int(size) == len(entries) == len(sidecars) == 258
assert (LOG / "tile/0/000").read_bytes() == b"".join(leaves[:256])
assert (LOG / "tile/0/001.p/2").read_bytes() == b"".join(leaves[256:])
assert (LOG / "tile/1/000.p/1").read_bytes() == root(leaves[:256])

for number, (entry, sidecar) in enumerate(zip(entries, sidecars)):
    record = json.loads(entry)
    assert ("sealed" in record) == (number % 3 == 0) == bool(sidecar)
    if not sidecar:
        continue
    sealed = record["sealed"]
    assert list(record)[-1] == "sealed" and sealed["sha256"] == sha(sidecar).hex() and sidecar[0] == 1
    plain = xaes(b"\xb0" * 32, sidecar[1:25], b"daypass sealed v1\n" + sealed["subject"].encode(), sidecar[25:])
    event_key, plain, values = plain[:32], plain[32:], {}
    while plain:
        field, plain = plain[1 : 1 + plain[0]].decode(), plain[1 + plain[0] :]
        length = int.from_bytes(plain[:4], "big")
        values[field], plain = plain[4 : 4 + length], plain[4 + length :]
    assert values == {"text": b"SELECT %d" % number, "params": b"[]"}
    for field, value in values.items():
        salt = hmac.digest(event_key, b"salt " + field.encode() + b"\1", "sha256")
        assert sealed["fields"][field] == commitment(salt, field, value)

archive = zipfile.ZipFile(HERE / "evidence.zip")
opened = json.loads(archive.read("logs/0/opened.json"))["fields"][0]
record = json.loads(archive.read("logs/0/records/3.json"))
assert record["sealed"]["fields"]["text"] == commitment(bytes.fromhex(opened["salt"]), "text", opened["text"].encode())
proof, checkpoint = archive.read("logs/0/records/3.tlog-proof").decode().split("\n\n", 1)
node, index = sha(b"\0" + archive.read("logs/0/records/3.json")), 3
for line in proof.split("\n")[2:]:
    other = base64.b64decode(line)
    node, index = sha(b"\1" + (other + node if index & 1 else node + other)), index >> 1
assert node == base64.b64decode(verify_note(checkpoint.encode(), vkey)[2])
print("the vectors of version 1 hold")
