"""The grammar of iptables 1.8.9's extensions: which option belongs to what, and how many values it takes.

Needed even for what stays opaque: without it nobody can tell where a match's own text ends.
"""

from __future__ import annotations

PORTS = "sport source-port dport destination-port"

_MATCHES = {
    "addrtype": "src-type dst-type limit-iface-in:0 limit-iface-out:0",
    "ah": "ahspi ahlen ahres:0",
    "bpf": "bytecode object-pinned",
    "cgroup": "cgroup path",
    "cluster": "cluster-total-nodes cluster-local-node cluster-local-nodemask cluster-hash-seed",
    "comment": "comment",
    "connbytes": "connbytes connbytes-dir connbytes-mode",
    "connlabel": "label set:0",
    "connlimit": "connlimit-upto connlimit-above connlimit-mask connlimit-saddr:0 connlimit-daddr:0",
    "connmark": "mark",
    "conntrack": "ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctorigsrcport ctorigdstport ctreplsrcport"
    " ctrepldstport ctstatus ctexpire ctdir",
    "cpu": "cpu",
    "dccp": f"{PORTS} dccp-types dccp-option",
    "devgroup": "src-group dst-group",
    "dscp": "dscp dscp-class",
    "dst": "dst-len dst-opts",
    "ecn": "ecn-tcp-cwr:0 ecn-tcp-ece:0 ecn-ip-ect",
    "esp": "espspi",
    "eui64": "",
    "frag": "fragid fraglen fragres:0 fragfirst:0 fragmore:0 fraglast:0",
    "hashlimit": "hashlimit hashlimit-upto hashlimit-above hashlimit-burst hashlimit-srcmask hashlimit-dstmask"
    " hashlimit-mode hashlimit-name hashlimit-htable-size hashlimit-htable-max hashlimit-htable-expire"
    " hashlimit-htable-gcinterval hashlimit-rate-match:0 hashlimit-rate-interval",
    "hbh": "hbh-len hbh-opts",
    "helper": "helper",
    "hl": "hl-eq hl-lt hl-gt",
    "icmp": "icmp-type",
    "icmp6": "icmpv6-type",
    "ipcomp": "ipcompspi compres:0",
    "iprange": "src-range dst-range",
    "ipv6header": "header soft:0",
    "ipvs": "ipvs:0 vproto vaddr vport vdir vmethod vportctl",
    "length": "length",
    "limit": "limit limit-burst",
    "mac": "mac-source",
    "mark": "mark",
    "mh": "mh-type",
    "multiport": "sports source-ports dports destination-ports ports",
    "nfacct": "nfacct-name",
    "osf": "genre ttl log",
    "owner": "uid-owner gid-owner socket-exists:0 suppl-groups:0 pid-owner sid-owner cmd-owner",
    "physdev": "physdev-in physdev-out physdev-is-in:0 physdev-is-out:0 physdev-is-bridged:0",
    "pkttype": "pkt-type",
    "policy": "dir pol strict:0 reqid spi proto mode tunnel-src tunnel-dst next:0",
    "quota": "quota",
    "rateest": "rateest-delta:0 rateest rateest1 rateest2 rateest-bps:* rateest-bps1:* rateest-bps2:* rateest-pps:*"
    " rateest-pps1:* rateest-pps2:* rateest-lt:0 rateest-gt:0 rateest-eq:0",
    "realm": "realm",
    "recent": "set:0 rcheck:0 update:0 remove:0 seconds reap:0 hitcount rttl:0 name rsource:0 rdest:0 mask",
    "rpfilter": "loose:0 validmark:0 accept-local:0 invert:0",
    "rt": "rt-type rt-segsleft rt-len rt-0-res:0 rt-0-addrs rt-0-not-strict:0",
    "sctp": f"{PORTS} chunk-types:2",
    "set": "match-set:2 set:2 return-nomatch:0 update-counters:0 update-subcounters:0 packets-eq packets-lt packets-gt"
    " bytes-eq bytes-lt bytes-gt",
    "socket": "transparent:0 nowildcard:0 restore-skmark:0",
    "srh": "srh-next-hdr srh-hdr-len-eq srh-hdr-len-gt srh-hdr-len-lt srh-segs-left-eq srh-segs-left-gt"
    " srh-segs-left-lt srh-last-entry-eq srh-last-entry-gt srh-last-entry-lt srh-tag srh-psid srh-nsid srh-lsid",
    "state": "state",
    "statistic": "mode probability every packet",
    "string": "from to algo string hex-string icase:0",
    "tcp": f"{PORTS} tcp-flags:2 syn:0 tcp-option",
    "tcpmss": "mss",
    "time": "timestart timestop datestart datestop monthdays weekdays kerneltz:0 utc:0 localtz:0 contiguous:0",
    "tos": "tos",
    "ttl": "ttl-eq ttl-lt ttl-gt ttl",
    "u32": "u32",
    "udp": PORTS,
    "udplite": PORTS,
}

_TARGETS = {
    "AUDIT": "type",
    "CHECKSUM": "checksum-fill:0",
    "CLASSIFY": "set-class",
    "CLUSTERIP": "new:0 hashmode clustermac total-nodes local-node hash-init",
    "CONNMARK": "set-xmark set-mark save-mark:0 restore-mark:0 ctmask nfmask mask and-mark or-mark xor-mark"
    " left-shift-mark right-shift-mark",
    "CONNSECMARK": "save:0 restore:0",
    "CT": "notrack:0 helper timeout ctevents expevents zone zone-orig zone-reply",
    "DNAT": "to-destination random:0 persistent:0",
    "DNPT": "src-pfx dst-pfx",
    "DSCP": "set-dscp set-dscp-class",
    "ECN": "ecn-tcp-remove:0",
    "HL": "hl-set hl-dec hl-inc",
    "HMARK": "hmark-tuple hmark-mod hmark-offset hmark-rnd hmark-src-prefix hmark-dst-prefix hmark-sport-mask"
    " hmark-dport-mask hmark-spi-mask hmark-sport hmark-dport hmark-spi hmark-proto-mask",
    "IDLETIMER": "timeout label alarm:0",
    "LED": "led-trigger-id led-delay led-always-blink:0",
    "LOG": "log-level log-prefix log-tcp-sequence:0 log-tcp-options:0 log-ip-options:0 log-uid:0 log-macdecode:0",
    "MARK": "set-xmark set-mark and-mark or-mark xor-mark",
    "MASQUERADE": "to-ports random:0 random-fully:0",
    "NETMAP": "to",
    "NFLOG": "nflog-group nflog-range nflog-size nflog-threshold nflog-prefix",
    "NFQUEUE": "queue-num queue-balance queue-bypass:0 queue-cpu-fanout:0",
    "NOTRACK": "",
    "RATEEST": "rateest-name rateest-interval rateest-ewmalog",
    "REDIRECT": "to-ports random:0",
    "REJECT": "reject-with",
    "SECMARK": "selctx",
    "SET": "add-set:2 del-set:2 map-set:2 exist:0 timeout map-mark:0 map-prio:0 map-queue:0",
    "SNAT": "to-source random:0 random-fully:0 persistent:0",
    "SNPT": "src-pfx dst-pfx",
    "SYNPROXY": "sack-perm:0 timestamp:0 wscale mss ecn:0",
    "TCPMSS": "set-mss clamp-mss-to-pmtu:0",
    "TCPOPTSTRIP": "strip-options",
    "TEE": "gateway oif",
    "TOS": "set-tos and-tos or-tos xor-tos",
    "TPROXY": "on-port on-ip tproxy-mark",
    "TRACE": "",
    "TTL": "ttl-set ttl-dec ttl-inc",
    "ULOG": "ulog-nlgroup ulog-cprange ulog-qthreshold ulog-prefix",
}

MANY = -1
"""Arity of an option that takes every following word up to the next option."""

Options = dict[str, int]
"""Option name without its dashes to the number of its values, or `MANY`."""


def _spelt(spec: str) -> Options:
    """`"name tcp-flags:2 rate:*"` to arities; 1 where none is given."""
    words = (word.partition(":") for word in spec.split())
    return {name: MANY if arity == "*" else int(arity or 1) for name, _, arity in words}


MATCHES: dict[str, Options] = {name: _spelt(spec) for name, spec in _MATCHES.items()} | {
    "ipv6-icmp": {"icmpv6-type": 1}, "icmpv6": {"icmpv6-type": 1},
}  # fmt: skip
"""Every match of iptables 1.8.9 and its options; a match that is not here takes whatever follows it."""

TARGETS: dict[str, Options] = {name: _spelt(spec) for name, spec in _TARGETS.items()}
"""Every target of iptables 1.8.9 that is no verdict, and its options."""
