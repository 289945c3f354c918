"""The words of rule listings that name nobody: netfilter's own, as iptables-save, nft and ipset print them."""

from __future__ import annotations

from conntrim.core.dialect.names import DSCP_CLASSES, FLAGS, NFT_ICMP_TYPES, PACKET_TYPES, SERVICES, STATES, TYPES
from conntrim.core.dialect.nft import TYPES as NFT_TYPES
from conntrim.core.dialect.xt import ADDRESS_TYPES, PROTOCOL_NAMES

_XT = """
filter nat raw mangle security broute PREROUTING INPUT FORWARD OUTPUT POSTROUTING COMMIT
ACCEPT DROP REJECT RETURN QUEUE LOG ULOG NFLOG NFQUEUE CT NOTRACK SNAT DNAT MASQUERADE REDIRECT NETMAP MARK CONNMARK
CONNSECMARK SECMARK TOS DSCP TTL HL TCPMSS TCPOPTSTRIP TPROXY SYNPROXY CLASSIFY CHECKSUM SET TRACE AUDIT IDLETIMER TEE
LED HMARK RATEEST ECN TARPIT DELUDE CHAOS
addrtype bpf cgroup cluster comment connbytes connlabel connlimit connmark conntrack cpu dccp devgroup dscp dst ecn esp
eui64 frag hashlimit hbh helper hl icmp icmp6 icmpv6 ipv6-icmp ipv6header iprange ipvs ah length limit mac mark mh
multiport nfacct osf owner physdev pkttype policy quota rateest realm recent rpfilter rt sctp set socket state statistic
string tcp tcpmss time tos ttl u32 udp udplite all
icmp-net-unreachable icmp-host-unreachable icmp-port-unreachable icmp-proto-unreachable icmp-net-prohibited
icmp-host-prohibited icmp-admin-prohibited tcp-reset icmp6-no-route icmp6-adm-prohibited icmp6-addr-unreachable
icmp6-port-unreachable no-route adm-prohibited addr-unreachable port-unreachable
NEW ESTABLISHED RELATED INVALID UNTRACKED SNAT DNAT ORIGINAL REPLY NONE EXPECTED SEEN_REPLY ASSURED CONFIRMED
LOCAL UNICAST BROADCAST ANYCAST MULTICAST BLACKHOLE UNREACHABLE PROHIBIT THROW XRESOLVE
srcip srcport dstip dstport src dst both packets bytes original reply random nth bm kmp in out ipsec none strict tunnel
transport emerg alert crit err warning notice info debug
"""

_NFT = """
ip ip6 inet arp bridge netdev prerouting input forward output postrouting ingress egress filter nat route
accept drop reject return continue jump goto queue dup fwd masquerade redirect snat dnat notrack log limit quota counter
new established related invalid untracked add update delete original reply == != < > <= >= in and or & | ^ << >>
l4proto nfproto mark ct meta protocol length iif oif iifname oifname iifgroup oifgroup iiftype oiftype skuid skgid
nftrace pkttype cpu cgroup rtclassid priority secmark time day hour ibrname obrname sdif random state status direction
expiration helper label l3proto saddr daddr proto-src proto-dst sport dport bytes packets avgpkt zone id count eventmask
proto_src proto_dst eth vlan ip icmp icmpv6 igmp tcp udp udplite sctp dccp ah esp comp th type code sequence mtu gateway
hdrlength version dscp ecn frag-off ttl checksum nexthdr hoplimit flowlabel flags window urgptr doff ackseq csumcov spi
fin syn rst psh ack urg ecr cwr ece dynamic interval timeout constant concat fib missing present oif daddr saddr local
unicast
broadcast multicast anycast icmpx port-unreachable admin-prohibited no-route host-unreachable net-unreachable
prot-unreachable host-prohibited net-prohibited addr-unreachable policy-fail reject-route tcp reset second minute hour
day week performance memory ipv4_addr ipv6_addr inet_proto inet_service ether_addr ifname mark host socket rt exthdr
tcp_option maxseg sack-perm timestamp window mss osf numgen inc jhash symhash numgen elem range prefix set map vmap
transparent wildcard cgroupv2 fully-random persistent random bypass fanout emerg alert crit err warn notice info debug
audit burst over until mbytes kbytes bytes/second
"""

_IPSET = """
create add family inet inet6 hashsize maxelem netmask timeout counters comment skbinfo nomatch forceadd bucketsize
initval range markmask size hash:ip hash:net hash:mac hash:ip,port hash:ip,port,ip hash:ip,port,net hash:net,port
hash:net,net hash:net,port,net hash:net,iface hash:ip,mark hash:ip,mac bitmap:ip bitmap:port bitmap:ip,mac list:set hash
ip net port mac iface
"""

KEPT_WORDS = frozenset(
    [
        *_XT.split(),
        *_NFT.split(),
        *_IPSET.split(),
        "lo",
        "-",
        "!",
        *DSCP_CLASSES,
        *FLAGS,
        *NFT_ICMP_TYPES,
        *PACKET_TYPES,
    ]
    + [*SERVICES, *STATES, *NFT_TYPES, *ADDRESS_TYPES, *PROTOCOL_NAMES.values()]
    + [name for names in TYPES.values() for name in names]
)
"""All of them. `lo` names the one interface that is everywhere."""
