"""Packets that are shaped oddly, each to a port of its own, from eth0 to the target whose MAC address is given.

Prints a line for each: its port, whether Linux by itself lets it arrive there (`stack`), does not (`nothing`) or may (`either`), and
its name.
"""

import logging
import random
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import *  # noqa: E402, F403

MAC, FIRST_PORT = sys.argv[1], int(sys.argv[2])
V4, V6 = ("192.0.2.10", "192.0.2.1"), ("2001:db8:1::10", "2001:db8:1::1")
DATA = b"shape" * 8
random.seed(5)

frames, port = [], FIRST_PORT


def ip4(**fields):
    return IP(src=V4[0], dst=V4[1], **fields)


def ip6(**fields):
    return IPv6(src=V6[0], dst=V6[1], **fields)


def shape(name, make, arrives="stack"):
    """One packet, or several, of what `make` says for a port; without a link layer they get a plain one."""
    global port
    packets = make(port)
    for packet in packets if isinstance(packets, (list, PacketList)) else [packets]:
        frames.append(packet if isinstance(packet, (Ether, bytes)) else Ether(dst=MAC) / packet)
    print(port, arrives, name, sep="\t")
    port += 1


def both(name, make, arrives="stack"):
    """The same over TCP and over UDP; `make` gets the transport."""
    shape(f"{name}, TCP", lambda at: make(TCP(sport=40000, dport=at, flags="S")), arrives)
    shape(f"{name}, UDP", lambda at: make(UDP(sport=40000, dport=at) / DATA), arrives)


# The link layer.
both("no oddity", lambda transport: ip4() / transport)
both("no oddity in IPv6", lambda transport: ip6() / transport)
both("a priority tag", lambda transport: Ether(dst=MAC) / Dot1Q(vlan=0, prio=7) / ip4() / transport)
both("two priority tags", lambda transport: Ether(dst=MAC) / Dot1Q(vlan=0) / Dot1Q(vlan=0) / ip4() / transport)
both("three priority tags", lambda transport: Ether(dst=MAC) / Dot1Q(vlan=0) / Dot1Q(vlan=0) / Dot1Q(vlan=0) / ip4() / transport)
both("eight priority tags", lambda transport: Ether(dst=MAC) / Raw(bytes.fromhex("00008100" * 7 + "00000800")) / ip4() / transport)
frames[-1].type = frames[-2].type = 0x8100
both("a service tag without a VLAN", lambda transport: Ether(dst=MAC, type=0x88A8) / Dot1Q(vlan=0) / ip4() / transport)
both("a service tag around a priority tag", lambda transport: Ether(dst=MAC, type=0x88A8) / Dot1Q(vlan=0) / Dot1Q(vlan=0) / ip6() / transport)
both("a tag with the drop-eligible bit", lambda transport: Ether(dst=MAC) / Dot1Q(vlan=0, id=1) / ip6() / transport)
both("to everybody's MAC address", lambda transport: Ether(dst="ff:ff:ff:ff:ff:ff") / ip4() / transport)
both("to a group's MAC address", lambda transport: Ether(dst="01:00:5e:00:00:01") / ip4() / transport)
both("to another's MAC address", lambda transport: Ether(dst="02:00:00:00:00:99") / ip4() / transport, "nothing")
both("in 802.2 SNAP", lambda transport: Dot3(dst=MAC) / LLC() / SNAP() / ip4() / transport, "nothing")
both("IPv6 called IPv4", lambda transport: Ether(dst=MAC, type=0x0800) / ip6() / transport, "nothing")
both("IPv4 called IPv6", lambda transport: Ether(dst=MAC, type=0x86DD) / ip4() / transport, "nothing")
both("with a trailer", lambda transport: Ether(dst=MAC) / ip4() / transport / Padding(b"\0" * 64))
both("in MPLS", lambda transport: Ether(dst=MAC, type=0x8847) / Raw(bytes.fromhex("00000140")) / ip4() / transport, "nothing")
both("in PPPoE", lambda transport: Ether(dst=MAC) / PPPoE(sessionid=1) / PPP() / ip4() / transport, "nothing")

# IPv4's header.
for name, option in [
    ("ten no-operations", [IPOption(b"\x01")] * 10),
    ("a record route", [IPOption_RR(routers=["0.0.0.0"] * 9)]),
    ("a timestamp", [IPOption_Timestamp(length=12)]),
    ("a router alert", [IPOption_Router_Alert()]),
    ("a security option", [IPOption_Security()]),
    ("an unknown option", [IPOption(b"\x9e\x04\x00\x00")]),
    ("an end-of-list before a source route", [IPOption(b"\x00"), IPOption_LSRR(routers=["192.0.2.10"])]),
    ("no-operations before a source route", [IPOption(b"\x01"), IPOption_LSRR(routers=["192.0.2.10"])]),
    ("a loose source route", [IPOption_LSRR(routers=["192.0.2.10"])]),
    ("a strict source route", [IPOption_SSRR(routers=["192.0.2.10"])]),
    ("a source route that is used up", [IPOption_LSRR(routers=["192.0.2.10"], pointer=8)]),
]:
    both(name, lambda transport, option=option: ip4(options=option) / transport)
both("the reserved flag", lambda transport: ip4(flags="evil") / transport)
both("don't fragment", lambda transport: ip4(flags="DF") / transport)
both("time to live 1", lambda transport: ip4(ttl=1) / transport)
both("every type of service", lambda transport: ip4(tos=255) / transport)
both("header length 4 words", lambda transport: ip4(ihl=4) / transport, "nothing")
both("a bad header checksum", lambda transport: ip4(chksum=1) / transport, "nothing")
both("a total length of 0", lambda transport: ip4(len=0) / transport, "nothing")
both("version 5", lambda transport: Ether(dst=MAC, type=0x0800) / ip4(version=5) / transport, "nothing")
for source, arrives in [
    ("192.0.2.1", "stack"), ("172.17.0.2", "stack"), ("127.0.0.1", "stack"), ("0.0.0.0", "stack"),
    ("255.255.255.255", "stack"), ("224.0.0.1", "stack"), ("240.0.0.1", "stack"), ("192.0.2.255", "stack"),
]:
    both(f"from {source}", lambda transport, source=source: IP(src=source, dst=V4[1]) / transport, arrives)
for target in ["192.0.2.255", "255.255.255.255", "224.0.0.1", "172.17.0.1", "172.17.0.2", "127.0.0.1"]:
    both(f"to {target}", lambda transport, target=target: IP(src=V4[0], dst=target) / transport)

# IPv6's headers.
PADDED = [PadN(optdata=b"\0" * 4)]
CHAINS = {
    "hop-by-hop options": lambda: IPv6ExtHdrHopByHop(options=PADDED),
    "destination options": lambda: IPv6ExtHdrDestOpt(options=PADDED),
    "seven destination options": lambda: reduce(lambda a, b: a / b, [IPv6ExtHdrDestOpt(options=PADDED) for _ in range(7)]),
    "eight destination options": lambda: reduce(lambda a, b: a / b, [IPv6ExtHdrDestOpt(options=PADDED) for _ in range(8)]),
    "nine destination options": lambda: reduce(lambda a, b: a / b, [IPv6ExtHdrDestOpt(options=PADDED) for _ in range(9)]),
    "100 destination options": lambda: reduce(lambda a, b: a / b, [IPv6ExtHdrDestOpt(options=PADDED) for _ in range(100)]),
    "hop-by-hop and destination options": lambda: IPv6ExtHdrHopByHop(options=PADDED) / IPv6ExtHdrDestOpt(options=PADDED),
    "an atomic fragment": lambda: IPv6ExtHdrFragment(id=7),
    "an atomic fragment behind destination options": lambda: IPv6ExtHdrDestOpt(options=PADDED) / IPv6ExtHdrFragment(id=7),
    "destination options behind an atomic fragment": lambda: IPv6ExtHdrFragment(id=7) / IPv6ExtHdrDestOpt(options=PADDED),
    "an atomic fragment with its reserved bits set": lambda: IPv6ExtHdrFragment(id=7, res1=255, res2=3),
    "two atomic fragments": lambda: IPv6ExtHdrFragment(id=7) / IPv6ExtHdrFragment(id=8),
    "a router alert": lambda: IPv6ExtHdrHopByHop(options=[RouterAlert()]),
    "a used-up routing header 0": lambda: IPv6ExtHdrRouting(addresses=[V6[1]], segleft=0),
    "a used-up routing header 2": lambda: IPv6ExtHdrRouting(type=2, addresses=[V6[1]], segleft=0),
    "a used-up segment routing header": lambda: IPv6ExtHdrSegmentRouting(addresses=[V6[1]], segleft=0, lastentry=0),
    "a used-up routing header 253": lambda: IPv6ExtHdrRouting(type=253, segleft=0),
}
for name, chain in CHAINS.items():
    both(name, lambda transport, chain=chain: ip6() / chain() / transport)
for name, chain in {
    "a routing header 0": lambda: IPv6ExtHdrRouting(addresses=["2001:db8:1::99"]),
    "a segment routing header": lambda: IPv6ExtHdrSegmentRouting(addresses=["2001:db8:1::99"], segleft=1, lastentry=0),
    "hop-by-hop options in the second place": lambda: IPv6ExtHdrDestOpt(options=PADDED) / IPv6ExtHdrHopByHop(options=PADDED),
    "a home address": lambda: IPv6ExtHdrDestOpt(options=[HAO(hoa="2001:db8:1::99")]),
}.items():
    both(name, lambda transport, chain=chain: ip6() / chain() / transport)
both("a jumbo payload", lambda transport: ip6() / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / transport, "nothing")
for source in ["::", "::ffff:192.0.2.10", "::192.0.2.10", "2001:db8:1::1", "fe80::77", "fd00:17::2", "::1", "ff02::1"]:
    arrives = "nothing" if source in ["::1", "ff02::1"] else "stack"
    both(f"from {source}", lambda transport, source=source: IPv6(src=source, dst=V6[1]) / transport, arrives)
for target in ["ff02::1", "fd00:17::1", "fd00:17::2", "::ffff:192.0.2.1", "::1"]:
    arrives = "nothing" if target == "::1" else "stack"
    both(f"to {target}", lambda transport, target=target: IPv6(src=V6[0], dst=target) / transport, arrives)

# Pieces, in an order that a filter might not expect.
for family, ip, pieces in [
    ("IPv4", ip4, lambda packet, size: fragment(packet, size)),
    ("IPv6", ip6, lambda packet, size: fragment6(packet, size)),
]:
    header = (lambda: ip4(id=random.randrange(65536))) if family == "IPv4" else (lambda: ip6() / IPv6ExtHdrFragment(id=random.randrange(1 << 32)))
    # scapy's size is that of the data in IPv4, that of the packet in IPv6.
    for size in [16, 24, 200]:
        room = size if family == "IPv4" else size + 64
        whole = lambda transport: header() / transport / Raw(DATA * 12)
        both(f"{family} pieces of {size} bytes", lambda transport, pieces=pieces, whole=whole, room=room: pieces(whole(transport), room))
        both(f"{family} pieces of {size} bytes, the last one first", lambda transport, pieces=pieces, whole=whole, room=room: pieces(whole(transport), room)[::-1])
        both(f"{family} pieces of {size} bytes, twice", lambda transport, pieces=pieces, whole=whole, room=room: [piece for piece in pieces(whole(transport), room) for _ in "12"])

# Transports.
for flags in ["", "F", "R", "A", "SF", "SR", "SA", "FPU", "SEC", "FSRPAUEC"]:
    shape(f"TCP flags {flags or 'none'}", lambda at, flags=flags: ip4() / TCP(sport=40000, dport=at, flags=flags))
    shape(f"TCP flags {flags or 'none'} in IPv6", lambda at, flags=flags: ip6() / TCP(sport=40000, dport=at, flags=flags))
for name, fields in {
    "TCP's reserved bits": {"reserved": 7}, "TCP data offset 0": {"dataofs": 0}, "TCP data offset 15": {"dataofs": 15},
    "a bad TCP checksum": {"chksum": 1}, "an urgent pointer": {"urgptr": 1, "flags": "SU"}, "source port 0": {"sport": 0},
    "TCP options without end": {"options": [("NOP", None)] * 40},
}.items():
    shape(name, lambda at, fields=fields: ip4() / TCP(**{"sport": 40000, "dport": at, "flags": "S", **fields}))
    shape(f"{name} in IPv6", lambda at, fields=fields: ip6() / TCP(**{"sport": 40000, "dport": at, "flags": "S", **fields}))
for name, fields in {
    "UDP length 0": {"len": 0}, "a long UDP length": {"len": 65535}, "no UDP checksum": {"chksum": 0}, "UDP source port 0": {"sport": 0},
}.items():
    shape(name, lambda at, fields=fields: ip4() / UDP(**{"sport": 40000, "dport": at, **fields}) / DATA)
    shape(f"{name} in IPv6", lambda at, fields=fields: ip6() / UDP(**{"sport": 40000, "dport": at, **fields}) / DATA)
for source in [20, 53, 67, 68, 80, 88, 123, 137, 500, 546, 547, 1900, 5353]:
    shape(f"UDP from port {source}", lambda at, source=source: ip4() / UDP(sport=source, dport=at) / DATA)
    shape(f"UDP from port {source} in IPv6", lambda at, source=source: ip6() / UDP(sport=source, dport=at) / DATA)
for name, number in [("UDP-Lite", 136), ("SCTP", 132), ("DCCP", 33)]:
    header = lambda at: Raw(struct.pack("!HHHH", 40000, at, 8, 0) + b"\0" * 24)
    shape(name, lambda at, number=number: ip4(proto=number) / header(at))
    shape(f"{name} in IPv6", lambda at, number=number: ip6(nh=number) / header(at))

# Random values in every field of which nothing is said; some of them make Linux drop the packet.
for _ in range(60):
    for name, kind, ip in [
        ("IPv4", 0x0800, lambda: IP(src=V4[0], dst=V4[1], frag=0, version=4)),
        ("IPv6", 0x86DD, lambda: IPv6(src=V6[0], dst=V6[1], version=6)),
    ]:
        for transport in [TCP, UDP]:
            shape(
                f"random fields of {name} and {transport.__name__}",
                lambda at, kind=kind, ip=ip, transport=transport: Ether(dst=MAC, type=kind) / bytes(fuzz(ip()) / fuzz(transport(dport=at))),
                "either",
            )

socket = conf.L2socket(iface="eth0")
for frame in frames:
    socket.send(frame)
