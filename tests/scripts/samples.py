"""Sample files made from nothing but Python's standard library: text, archives, pictures, sound, programs, edges.

The same seed gives the same names and, with one version of zlib and friends, the same bytes.
"""

import base64
import bz2
import gzip
import io
import json
import lzma
import marshal
import math
import pickle
import plistlib
import random
import sqlite3
import struct
import tarfile
import tempfile
import wave
import zipfile
import zlib
from pathlib import Path

from samples_text import texts


def zipped(members, stored_first=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, (name, content) in enumerate(members):
            info = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if stored_first and i == 0 else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


def tarred(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def png(width, height, rng):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + rng.randbytes(width * 3) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bmp(width, height, rng):
    rows = rng.randbytes((width * 3 + 3) // 4 * 4 * height)
    header = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54)
    return header + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + rows


def wav(seconds, rng):
    out, tone = io.BytesIO(), rng.randrange(100, 1000)
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        samples = (int(20000 * math.sin(i * tone / 4000 * math.pi)) for i in range(int(8000 * seconds)))
        sound.writeframes(b"".join(struct.pack("<h", s) for s in samples))
    return out.getvalue()


def sqlite(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        base = sqlite3.connect(path)
        base.execute("create table mill (id integer primary key, name text)")
        base.executemany("insert into mill (name) values (?)", [(row,) for row in rows])
        base.commit()
        base.close()
        return path.read_bytes()


def pdf(words):
    body = zlib.compress(f"BT /F1 12 Tf 72 720 Td ({' '.join(words)}) Tj ET".encode())
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(body), body),
    ]
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + table
    return bytes(out + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start)


def office(kind, words):
    """An Office Open XML file: kind is word, xl or ppt."""
    part = {"word": "word/document.xml", "xl": "xl/workbook.xml", "ppt": "ppt/presentation.xml"}[kind]
    types = f'<?xml version="1.0"?><Types><Override PartName="/{part}" ContentType="application/xml"/></Types>'
    relations = f'<?xml version="1.0"?><Relationships><Relationship Id="r1" Target="{part}"/></Relationships>'
    text = "".join(f"<w:p><w:r><w:t>{word}</w:t></w:r></w:p>" for word in words)
    extra = {"word": ["word/styles.xml", "word/settings.xml"], "xl": ["xl/worksheets/sheet1.xml", "xl/styles.xml"],
             "ppt": ["ppt/slides/slide1.xml", "ppt/slideMasters/slideMaster1.xml"]}[kind]
    return zipped([("[Content_Types].xml", types), ("_rels/.rels", relations), (part, f"<x>{text}</x>"),
                   *[(name, f"<x>{text}</x>") for name in extra], ("docProps/app.xml", "<Properties/>")])


def open_document(kind, words):
    mime = f"application/vnd.oasis.opendocument.{kind}"
    content = f"<office:document-content>{' '.join(words)}</office:document-content>"
    return zipped([("mimetype", mime), ("content.xml", content), ("styles.xml", "<s/>"), ("meta.xml", "<m/>"),
                   ("META-INF/manifest.xml", f'<manifest:manifest media-type="{mime}"/>')], stored_first=True)


def elf(rng, little=True):
    order = "<" if little else ">"
    ident = b"\x7fELF\x02" + (b"\x01" if little else b"\x02") + b"\x01" + bytes(9)
    header = ident + struct.pack(order + "HHIQQQIHHHHHH", 2, 62, 1, 0x401000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    program = struct.pack(order + "IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 4096, 4096, 4096)
    code = bytes(rng.choice([0x48, 0x89, 0xE5, 0x55, 0xC3, 0x8B, 0x45, 0xFC, 0x00, 0xE8]) for _ in range(3000))
    return (header + program).ljust(4096, b"\0") + code + b"\0.text\0.data\0.shstrtab\0GCC: (Debian)\0"


def pe(rng):
    stub = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8".ljust(60, b"\0") + struct.pack("<I", 128)
    stub += b"\x0e\x1f\xba\x0e\0\xb4\t\xcd!\xb8\x01L\xcd!This program cannot be run in DOS mode.\r\r\n$".ljust(64, b"\0")
    head = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 2, 0x65000000, 0, 0, 240, 0x22) + struct.pack("<H", 0x20B)
    sections = b".text\0\0\0".ljust(40, b"\x10") + b".rdata\0\0".ljust(40, b"\x20")
    return (stub + head.ljust(264, b"\0") + sections).ljust(1024, b"\0") + rng.randbytes(2000) + bytes(500)


def macho(rng):
    head = struct.pack("<IiiIIIII", 0xFEEDFACF, 0x01000007, 3, 2, 2, 152, 0x85, 0)
    segment = struct.pack("<II16sQQQQiiII", 0x19, 72, b"__TEXT", 0x100000000, 4096, 0, 4096, 5, 5, 0, 0)
    return (head + segment + b"/usr/lib/libSystem.B.dylib").ljust(4096, b"\0") + rng.randbytes(1000)


def java_class(words):
    pool = b"".join(b"\x01" + struct.pack(">H", len(word)) + word.encode() for word in ["Code", "java/lang/Object", "<init>", "()V", *words])
    return b"\xca\xfe\xba\xbe\0\0\0\x34" + struct.pack(">H", len(words) + 5) + pool + b"\0\x21\0\x02\0\x03\0\0\0\0\0\1" + b"\x2a\xb7\0\1\xb1" * 9


def wasm(rng):
    sections = b"\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f" + b"\x03\x02\x01\x00" + b"\x07\x07\x01\x03add\0\0"
    return b"\0asm\x01\0\0\0" + sections + b"\x0a" + b"\x20\x00\x20\x01\x6a\x0b" * rng.randrange(20, 200)


def midi(rng):
    notes = b"".join(bytes([0x60, 0x90, rng.randrange(40, 80), 0x40, 0x60, 0x80, 60, 0]) for _ in range(100))
    track = b"\0\xff\x51\x03\x07\xa1\x20" + notes + b"\0\xff\x2f\0"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", len(track)) + track


def pcap(rng):
    packets = b"".join(
        struct.pack("<IIII", 1700000000 + i, 0, 60, 60) + b"\0\x11\x22\x33\x44\x55" * 2 + b"\x08\0\x45\0" + rng.randbytes(44)
        for i in range(30)
    )
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + packets


def npy(rng, dtype="<f4", count=500):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({count},), }}".encode().ljust(117) + b"\n"
    body = struct.pack(f"<{count}f", *(rng.random() for _ in range(count)))
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + body


def mp3(rng):
    tag = b"ID3\x03\0\0\0\0\0\x0fTIT2\0\0\0\x05\0\0\0Mill"
    return tag + b"".join(b"\xff\xfb\x90\x64" + rng.randbytes(413) for _ in range(10))


def boxes(*pairs):
    return b"".join(struct.pack(">I", 8 + len(body)) + kind + body for kind, body in pairs)


def deb(words):
    def member(name, body):
        return f"{name:<16}{'1700000000':<12}{'0':<6}{'0':<6}{'100644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)

    control = gzip.compress(tarred([("./control", f"Package: {words[0]}\nVersion: 1.0\n".encode())]), mtime=0)
    data = lzma.compress(tarred([(f"./usr/share/{word}", word.encode() * 50) for word in words]))
    return b"!<arch>\n" + member("debian-binary", b"2.0\n") + member("control.tar.gz", control) + member("data.tar.xz", data)


def binaries(rng):
    """(name, bytes) of files of binary formats: whole ones, and for some only what their beginning looks like."""
    words = [rng.choice("grain mill wheel stone flour water wind river sack barley".split()) for _ in range(40)]
    text = " ".join(words).encode() * 20
    files = [(f"{word}{i}.txt", text[i * 7 : i * 7 + 900]) for i, word in enumerate(words[:12])]
    noise = rng.randbytes(3000)
    code = compile("def f(x):\n    return [y * 2 for y in x]\n" * 10, "mill.py", "exec")
    yield from [
        ("a.zip", zipped(files)),
        ("a.tar", tarred(files)),
        ("a.tar.gz", gzip.compress(tarred(files), mtime=0)),
        ("a.gz", gzip.compress(text + noise, mtime=0)),
        ("a.bz2", bz2.compress(text + noise)),
        ("a.xz", lzma.compress(text + noise)),
        ("a.lzma", lzma.compress(text + noise, format=lzma.FORMAT_ALONE)),
        ("a.zlib", zlib.compress(text + noise)),
        ("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04" + noise),
        ("a.rar", b"Rar!\x1a\x07\x01\0" + noise),
        ("a.cab", b"MSCF\0\0\0\0" + struct.pack("<IIIBBHHH", 3040, 0, 44, 3, 1, 1, 1, 0) + noise),
        ("a.lzh", b"\x21\x80-lh5-" + noise),
        ("a.deb", deb(words[:6])),
        ("a.rpm", b"\xed\xab\xee\xdb\x03\0\0\0\0\x01mill-1.0-1".ljust(96, b"\0") + b"\x8e\xad\xe8\x01" + noise),
        ("a.iso", bytes(32768) + b"\x01CD001\x01\0LINUX".ljust(2048, b" ") + bytes(2048)),
        ("a.jar", zipped([("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nCreated-By: mill\n"), *[(f"org/example/{w}.class", java_class([w])) for w in sorted(set(words))]])),
        ("a.apk", zipped([("AndroidManifest.xml", noise[:800]), ("classes.dex", b"dex\n035\0" + noise), ("resources.arsc", noise[:500]), ("META-INF/CERT.RSA", noise[:300])])),
        ("a.epub", zipped([("mimetype", "application/epub+zip"), ("META-INF/container.xml", "<container/>"), ("OEBPS/content.opf", "<package/>"), *files], True)),
        ("a.docx", office("word", words)),
        ("a.xlsx", office("xl", words)),
        ("a.pptx", office("ppt", words)),
        ("a.odt", open_document("text", words)),
        ("a.ods", open_document("spreadsheet", words)),
        ("a.odp", open_document("presentation", words)),
        ("a.whl", zipped([("mill/__init__.py", text), ("mill-1.0.dist-info/METADATA", "Name: mill\n"), ("mill-1.0.dist-info/RECORD", "x\n")])),
        ("a.npz", zipped([(f"{w}.npy", npy(rng)) for w in sorted(set(words))])),
        ("a.pt", zipped([("archive/data.pkl", pickle.dumps({"weight": words}, 2)), ("archive/version", "3\n"), ("archive/data/0", noise)], True)),
        ("a.png", png(20, 20, rng)),
        ("a.bmp", bmp(30, 20, rng)),
        ("a.gif", b"GIF89a" + struct.pack("<HHBBB", 40, 40, 0xF7, 0, 0) + rng.randbytes(768) + b",\0\0\0\0\x28\0\x28\0\0\x08\xff" + rng.randbytes(255) + b"\0;"),
        ("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb\0\x43\0" + bytes(range(64)) + b"\xff\xc0\0\x11\x08\0\x20\0\x20\x03\x01\"\0\x02\x11\x01\x03\x11\x01\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0" + noise + b"\xff\xd9"),
        ("a.ico", struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 1128, 22) + struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, 32, 0, 1088, 0, 0, 0, 0) + noise[:1088]),
        ("a.tiff", b"II*\0\x08\0\0\0" + struct.pack("<H", 3) + struct.pack("<HHII", 256, 3, 1, 40) + struct.pack("<HHII", 257, 3, 1, 20) + struct.pack("<HHII", 258, 3, 1, 8) + bytes(4) + noise[:2400]),
        ("a.psd", b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(4) + b"\0\0\0\x1c8BIM\x03\xed\0\0\0\0\0\x10" + noise),
        ("a.webp", b"RIFF" + struct.pack("<I", 3000) + b"WEBPVP8 " + struct.pack("<I", 2988) + noise[:2988]),
        ("a.wav", wav(0.3, rng)),
        ("a.flac", b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\x0e\0\0\x10\x0a\xc4\x42\xf0" + noise),
        ("a.ogg", b"OggS\0\x02" + bytes(8) + noise[:4] + bytes(4) + noise[4:8] + b"\x01\x1e\x01vorbis" + bytes(5) + b"\x02\x44\xac\0\0" + noise),
        ("a.mp3", mp3(rng)),
        ("a.mid", midi(rng)),
        ("a.mp4", boxes((b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41"), (b"free", b""), (b"mdat", noise), (b"moov", boxes((b"mvhd", bytes(100)), (b"trak", bytes(300)))))),
        ("a.mov", boxes((b"ftyp", b"qt  \0\0\2\0qt  "), (b"wide", b""), (b"mdat", noise), (b"moov", boxes((b"mvhd", bytes(100)))))),
        ("a.3gp", boxes((b"ftyp", b"3gp4\0\0\2\0isom3gp4"), (b"mdat", noise), (b"moov", boxes((b"mvhd", bytes(100)))))),
        ("a.webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02\x18\x53\x80\x67" + noise),
        ("a.mkv", b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x88matroska\x42\x87\x81\x04\x42\x85\x81\x02\x18\x53\x80\x67" + noise),
        ("a.flv", b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x12\0\x01\0\0\0\0\0\0\0\0\x02\0\x0aonMetaData\x08\0\0\0\x0d\0\x08duration" + noise),
        ("a.swf", b"CWS\x0a" + struct.pack("<I", 9000) + zlib.compress(noise + text)),
        ("a.pdf", pdf(words)),
        ("a.sqlite", sqlite(words * 5)),
        ("a.npy", npy(rng)),
        ("a.pkl", pickle.dumps({"words": words, "n": list(range(300))}, 4)),
        ("a.pyc", b"\xa7\x0d\x0d\x0a" + bytes(4) + struct.pack("<II", 1700000000, 400) + marshal.dumps(code)),
        ("a.class", java_class(sorted(set(words)) * 4)),
        ("a.elf", elf(rng)),
        ("a-big-endian.elf", elf(rng, little=False)),
        ("a.exe", pe(rng)),
        ("a.macho", macho(rng)),
        ("a.wasm", wasm(rng)),
        ("a.dex", b"dex\n035\0" + noise[:24] + struct.pack("<II", 3100, 0x70) + b"\x78\x56\x34\x12" + noise),
        ("a.plist", plistlib.dumps({"words": words, "n": 1, "b": True}, fmt=plistlib.FMT_BINARY)),
        ("a.pcap", pcap(rng)),
        ("a.torrent", b"d8:announce31:udp://tracker.example.org:69694:infod6:lengthi1000e4:name4:mill12:piece lengthi16384e6:pieces2000:" + noise[:2000] + b"ee"),
        ("a.lnk", b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F\x9b\0\x08\0\x20\0\0\0" + bytes(48) + "C:\\mill\\mill.exe".encode("utf-16-le") + bytes(60)),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff\x09\0" + bytes(480) + text + "WordDocument".encode("utf-16-le") + bytes(800)),
        ("a.ttf", b"\0\x01\0\0\0\x0b\0\x80\0\x03\0\x30OS/2" + noise[:12] + b"cmap" + noise[:12] + b"glyf" + noise[:12] + b"head" + noise),
        ("a.woff", b"wOFF\0\x01\0\0" + struct.pack(">IHH", 3100, 10, 0) + noise),
        ("a.woff2", b"wOF2\0\x01\0\0" + struct.pack(">IHH", 3100, 10, 0) + noise),
        ("a.stl", b"binary mill".ljust(80, b"\0") + struct.pack("<I", 60) + b"".join(struct.pack("<12fH", *(rng.uniform(-1, 1) for _ in range(12)), 0) for _ in range(60))),
        ("a.dcm", bytes(128) + b"DICM\x02\0\0\0UL\x04\0\xc8\0\0\0\x02\0\x02\0UI\x1a\x001.2.840.10008.5.1.4.1.1.4\0" + noise),
        ("a.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04\0\x10\0" + bytes(8) + b"\xff" * 8 + bytes(200) + b"TREE" + noise[:1500] + b"HEAP" + noise[:500]),
        ("a.parquet", b"PAR1\x15\x04\x15\x80" + noise + b"\x15\x02\x19\x4c\x48\x06schema" + struct.pack("<I", 200) + b"PAR1"),
        ("a.squashfs", b"hsqs" + struct.pack("<IIIIHHHH", 10, 1700000000, 131072, 1, 1, 17, 0, 1) + noise),
        ("noise.bin", noise),
        ("base64.txt", base64.encodebytes(noise)),
    ]


def edges(rng):
    """(name, bytes) around the edges of the feature extraction: sizes, blanks, the block of 4,096 bytes, encodings."""
    letters = b"grain and flour "
    blanks = b" \t\n\r\x0b\x0c"
    source = b"import os\n\ndef mill(grain):\n    return os.path.join(grain, 'flour')\n\n"
    yield "empty", b""
    for size in range(1, 13):
        yield f"letters-{size}", letters[:size]
        yield f"high-{size}", bytes(0x80 + i for i in range(size))
    for size in (8, 9, 100, 4095, 4096, 4097, 9000):
        yield f"blank-{size}", bytes(blanks[i % 6] for i in range(size))
        yield f"zero-{size}", bytes(size)
        yield f"ff-{size}", b"\xff" * size
    for size in (1, 7, 8, 9):
        yield f"blanks-around-{size}", blanks * 50 + letters[:size] + blanks * 50
    yield "blanks-then-source", blanks * 700 + source * 40
    yield "source-then-blanks", source * 40 + blanks * 700
    yield "source-between-blocks", blanks * 690 + source * 5 + blanks * 690
    for end in (0x00, 0x1C, 0x1F, 0x85, 0xA0):  # blanks to some, bytes to this model
        yield f"edge-{end:02x}", bytes([end]) * 20 + source + bytes([end]) * 20
    for size in (1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 5119, 5120, 5121, 8191, 8192, 8193):
        yield f"source-{size}", (source * 200)[:size]
    yield "utf16le", "\ufeffgrain and flour, and so on\n".encode("utf-16-le") * 20
    yield "utf16be", "\ufeffgrain and flour, and so on\n".encode("utf-16-be") * 20
    yield "latin1", "Mühle, Größe, Straße\n".encode("latin-1") * 20
    yield "utf8-bom", "\ufeffMühle, Größe, Straße\n".encode() * 20
    yield "chinese", "风车把谷物磨成面粉。\n".encode() * 20
    yield "emoji", "🌾🌬️ 🍞\n".encode() * 40
    yield "json-cut", json.dumps({"grain": list(range(900))}).encode()[:2500]
    yield "two-types", b"%PDF-1.4\n" + source * 30 + b"PK\x05\x06" + bytes(18)
    for i in range(4):
        yield f"noise-{i}", rng.randbytes(rng.randrange(8, 6000))
        yield f"printable-{i}", bytes(rng.randrange(33, 127) for _ in range(rng.randrange(8, 6000)))


def samples(seed, with_edges=True):
    """Every sample once, as (unique file name, bytes)."""
    rng = random.Random(seed)
    parts = [texts(rng), binaries(rng), edges(rng) if with_edges else []]
    return [(f"{seed:03}-{i:03}-{name}", body) for i, (name, body) in enumerate(pair for part in parts for pair in part)]
