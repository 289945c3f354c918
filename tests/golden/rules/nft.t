@inet
accept ; ok ; accept ; {"expr": [{"accept": null}]}
drop ; ok ; drop ; {"expr": [{"drop": null}]}
return ; ok ; return ; {"expr": [{"return": null}]}
continue ; ok ;  ; {"expr": [{"continue": null}]}
jump user ; ok ; jump user ; {"expr": [{"jump": {"target": "user"}}]}
goto user ; ok ; goto user ; {"expr": [{"goto": {"target": "user"}}]}
counter ; ok ; counter ; {"expr": [{"counter": {"packets": 0, "bytes": 0}}]}
counter accept ; ok ; counter accept ; {"expr": [{"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}
log prefix "x " level debug ; ok ; log prefix "x " level debug ; {"expr": [{"log": {"prefix": "x ", "level": "debug"}}]}
ip saddr 192.0.2.1 accept ; ok ; meta nfproto ipv4 ip saddr 192.0.2.1 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}, {"accept": null}]}
ip saddr 10.0.0.0/8 accept ; ok ; meta nfproto ipv4 ip saddr 10.0.0.0/8 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}, {"accept": null}]}
ip saddr != 10.0.0.0/8 drop ; ok ; meta nfproto ipv4 ip saddr != 10.0.0.0/8 drop ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}, {"drop": null}]}
ip saddr 192.0.2.5-192.0.2.9 drop ; ok ; meta nfproto ipv4 ip saddr 192.0.2.5-192.0.2.9 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"range": ["192.0.2.5", "192.0.2.9"]}}}, {"drop": null}]}
ip saddr { 192.0.2.1, 198.51.100.0/24 } drop ; ok ; meta nfproto ipv4 ip saddr { 192.0.2.1, 198.51.100.0/24 } drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"set": ["192.0.2.1", {"prefix": {"addr": "198.51.100.0", "len": 24}}]}}}, {"drop": null}]}
ip saddr != { 192.0.2.1, 198.51.100.0/24 } drop ; ok ; meta nfproto ipv4 ip saddr != { 192.0.2.1, 198.51.100.0/24 } drop ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"set": ["192.0.2.1", {"prefix": {"addr": "198.51.100.0", "len": 24}}]}}}, {"drop": null}]}
ip saddr & 255.0.0.255 == 10.0.0.1 ; ok ; meta nfproto ipv4 ip saddr & 255.0.0.255 == 10.0.0.1 ; {"expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip", "field": "saddr"}}, "255.0.0.255"]}, "right": "10.0.0.1"}}]}
ip daddr 0.0.0.0/0 ; ok ; meta nfproto ipv4 ip daddr 0.0.0.0/0 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": {"prefix": {"addr": "0.0.0.0", "len": 0}}}}]}
ip6 saddr 2001:db8::/32 accept ; ok ; meta nfproto ipv6 ip6 saddr 2001:db8::/32 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "saddr"}}, "right": {"prefix": {"addr": "2001:db8::", "len": 32}}}}, {"accept": null}]}
ip6 daddr ::1 ; ok ; meta nfproto ipv6 ip6 daddr ::1 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "daddr"}}, "right": "::1"}}]}
ip6 saddr != { 2001:db8::1, 2001:db8:1::/48 } ; ok ; meta nfproto ipv6 ip6 saddr != { 2001:db8::1, 2001:db8:1::/48 } ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip6", "field": "saddr"}}, "right": {"set": ["2001:db8::1", {"prefix": {"addr": "2001:db8:1::", "len": 48}}]}}}]}
ip saddr 10.0.0.0/8 ip daddr 192.0.2.1 tcp dport 80 accept ; ok ; meta nfproto ipv4 ip saddr 10.0.0.0/8 ip daddr 192.0.2.1 meta l4proto 6 tcp dport 80 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "192.0.2.1"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"accept": null}]}
tcp dport 22 accept ; ok ; meta l4proto 6 tcp dport 22 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}]}
tcp dport != 22 drop ; ok ; meta l4proto 6 tcp dport != 22 drop ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"drop": null}]}
tcp dport { 22, 80, 443 } accept ; ok ; meta l4proto 6 tcp dport { 22, 80, 443 } accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, 80, 443]}}}, {"accept": null}]}
tcp dport != { 22, 80 } drop ; ok ; meta l4proto 6 tcp dport != { 22, 80 } drop ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [22, 80]}}}, {"drop": null}]}
tcp dport 1024-65535 ; ok ; meta l4proto 6 tcp dport 1024-65535 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"range": [1024, 65535]}}}]}
tcp dport > 1024 ; ok ; meta l4proto 6 tcp dport 1025-65535 ; {"expr": [{"match": {"op": ">", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1024}}]}
tcp dport < 1024 ; ok ; meta l4proto 6 tcp dport 0-1023 ; {"expr": [{"match": {"op": "<", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1024}}]}
tcp dport >= 1024 ; ok ; meta l4proto 6 tcp dport 1024-65535 ; {"expr": [{"match": {"op": ">=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1024}}]}
tcp dport <= 1024 ; ok ; meta l4proto 6 tcp dport 0-1024 ; {"expr": [{"match": {"op": "<=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1024}}]}
tcp sport 53 tcp dport 1024-65535 notrack ; ok ; meta l4proto 6 tcp sport 53 tcp dport 1024-65535 notrack ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 53}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"range": [1024, 65535]}}}, {"notrack": null}]}
udp dport 53 notrack ; ok ; meta l4proto 17 udp dport 53 notrack ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"notrack": null}]}
udp sport { 53, 123 } accept ; ok ; meta l4proto 17 udp sport { 53, 123 } accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "sport"}}, "right": {"set": [53, 123]}}}, {"accept": null}]}
sctp dport 9 ; ok ; meta l4proto 132 sctp dport 9 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "sctp", "field": "dport"}}, "right": 9}}]}
dccp sport 5 ; ok ; meta l4proto 33 dccp sport 5 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "dccp", "field": "sport"}}, "right": 5}}]}
udplite dport 7 ; ok ; meta l4proto 136 udplite dport 7 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udplite", "field": "dport"}}, "right": 7}}]}
th dport 53 ; ok ; meta l4proto { 6, 17, 33, 132, 136 } th dport 53 || meta l4proto != { 6, 17, 33, 132, 136 } th dport 53 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 53}}]}
meta l4proto { tcp, udp } th dport 53 accept ; ok ; meta l4proto { 6, 17 } th dport 53 accept ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 53}}, {"accept": null}]}
meta l4proto tcp ; ok ; meta l4proto 6 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}]}
meta l4proto != { tcp, udp } ; ok ; meta l4proto != { 6, 17 } ; {"expr": [{"match": {"op": "!=", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}]}
meta l4proto 99 ; ok ; meta l4proto 99 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": 99}}]}
meta nfproto ipv4 ; ok ; meta nfproto ipv4 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}]}
meta nfproto ipv6 tcp dport 22 ; ok ; meta nfproto ipv6 meta l4proto 6 tcp dport 22 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}]}
meta nfproto != ipv4 ; ok ; meta nfproto ipv6 ; {"expr": [{"match": {"op": "!=", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}]}
ip protocol icmp accept ; ok ; ip protocol 1 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "icmp"}}, {"accept": null}]}
ip protocol { tcp, udp } ; ok ; meta nfproto ipv4 meta l4proto { 6, 17 } ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": {"set": ["tcp", "udp"]}}}]}
ip6 nexthdr ipv6-icmp accept ; ok ; ip6 nexthdr 58 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "nexthdr"}}, "right": "ipv6-icmp"}}, {"accept": null}]}
ip6 nexthdr tcp ; ok ; meta nfproto ipv6 meta l4proto 6 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "nexthdr"}}, "right": "tcp"}}]}
icmp type echo-request accept ; ok ; meta nfproto ipv4 meta l4proto 1 icmp type 8 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}, {"accept": null}]}
icmp type { echo-request, echo-reply } accept ; ok ; meta nfproto ipv4 meta l4proto 1 icmp type { 0, 8 } accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": {"set": ["echo-reply", "echo-request"]}}}, {"accept": null}]}
icmp type != echo-request ; ok ; meta nfproto ipv4 meta l4proto 1 icmp type != 8 ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}]}
icmp code host-unreachable ; ok ; meta nfproto ipv4 meta l4proto 1 icmp code 1 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "code"}}, "right": "host-unreachable"}}]}
icmp type destination-unreachable icmp code port-unreachable ; ok ; meta nfproto ipv4 meta l4proto 1 icmp type 3 icmp code 3 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "destination-unreachable"}}, {"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "code"}}, "right": "port-unreachable"}}]}
icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept ; ok ; meta nfproto ipv6 meta l4proto 58 icmpv6 type 135-136 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "type"}}, "right": {"set": ["nd-neighbor-solicit", "nd-neighbor-advert"]}}}, {"accept": null}]}
icmpv6 type echo-request ; ok ; meta nfproto ipv6 meta l4proto 58 icmpv6 type 128 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "type"}}, "right": "echo-request"}}]}
icmpv6 code no-route ; ok ; meta nfproto ipv6 meta l4proto 58 icmpv6 code 0 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "code"}}, "right": "no-route"}}]}
tcp flags syn ; ok ; meta l4proto 6 tcp flags & (syn) != 0x0 ; {"expr": [{"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}]}
tcp flags != syn ; ok ; meta l4proto 6 tcp flags != syn ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}]}
tcp flags == syn ; ok ; meta l4proto 6 tcp flags == syn ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}]}
tcp flags syn,ack ; ok ; meta l4proto 6 tcp flags & (syn | ack) != 0x0 ; {"expr": [{"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": ["syn", "ack"]}}]}
tcp flags ! fin,rst ; ok ; meta l4proto 6 tcp flags & (fin | rst) == 0x0 ; {"expr": [{"match": {"op": "!", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": ["fin", "rst"]}}]}
tcp flags & (fin|syn|rst|ack) == syn ; ok ; meta l4proto 6 tcp flags & (fin | syn | rst | ack) == syn ; {"expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn", "rst", "ack"]]}, "right": "syn"}}]}
tcp flags & (fin|syn|rst|ack) != syn ; ok ; meta l4proto 6 tcp flags & (fin | syn | rst | ack) != syn ; {"expr": [{"match": {"op": "!=", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn", "rst", "ack"]]}, "right": "syn"}}]}
tcp flags & (syn|ack) == syn|ack ; ok ; meta l4proto 6 tcp flags & (syn | ack) == syn | ack ; {"expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]}, "right": ["syn", "ack"]}}]}
tcp flags & syn != 0 ; ok ; meta l4proto 6 tcp flags & (syn) != 0x0 ; {"expr": [{"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": "syn"}}]}
tcp flags { syn, syn|ack } ; ok ; meta l4proto 6 tcp flags { syn, syn | ack } ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": {"set": [{"|": ["syn", "ack"]}, "syn"]}}}]}
tcp flags & (fin|syn|rst|psh|ack|urg) == 0 ; ok ; meta l4proto 6 tcp flags & (fin | syn | rst | psh | ack | urg) == 0x0 ; {"expr": [{"match": {"op": "!", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": ["fin", "syn", "rst", "psh", "ack", "urg"]}}]}
ct state new ; ok ; ct state new ; {"expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}]}
ct state established,related accept ; ok ; ct state established,related accept ; {"expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}
ct state { new, untracked } accept ; ok ; ct state new,untracked accept ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": {"set": ["new", "untracked"]}}}, {"accept": null}]}
ct state != invalid ; ok ; ct state established,related,new,untracked ; {"expr": [{"match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": "invalid"}}]}
ct state ! new,untracked ; ok ; ct state invalid,established,related ; {"expr": [{"match": {"op": "!", "left": {"ct": {"key": "state"}}, "right": ["new", "untracked"]}}]}
ct state untracked accept ; ok ; ct state untracked accept ; {"expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "untracked"}}, {"accept": null}]}
ct state invalid drop ; ok ; ct state invalid drop ; {"expr": [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}, {"drop": null}]}
ct state & (new|invalid) == new ; ok ; ct state new ; {"expr": [{"match": {"op": "==", "left": {"&": [{"ct": {"key": "state"}}, ["invalid", "new"]]}, "right": "new"}}]}
ct state vmap { invalid : drop, established : accept, related : accept, untracked : jump user } ; ok ; ct state invalid drop || ct state established accept || ct state related accept || ct state untracked jump user ; {"expr": [{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["invalid", {"drop": null}], ["established", {"accept": null}], ["related", {"accept": null}], ["untracked", {"jump": {"target": "user"}}]]}}}]}
ct status dnat ; ok ; ct status dnat ; {"expr": [{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}]}
ct mark 5 ; ok ; ct mark 5 ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "mark"}}, "right": 5}}]}
ct mark != 5 ; ok ; ct mark != 5 ; {"expr": [{"match": {"op": "!=", "left": {"ct": {"key": "mark"}}, "right": 5}}]}
ct direction original ; ok ; ct direction original ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "original"}}]}
ct status == dnat ; ok ; ct status == dnat ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "status"}}, "right": "dnat"}}]}
ct status != dnat ; ok ; ct status != dnat ; {"expr": [{"match": {"op": "!=", "left": {"ct": {"key": "status"}}, "right": "dnat"}}]}
ct status snat,dnat ; ok ; ct status snat,dnat ; {"expr": [{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": ["snat", "dnat"]}}]}
ct status & (snat|dnat) == dnat ; ok ; ct status & (snat | dnat) == dnat ; {"expr": [{"match": {"op": "==", "left": {"&": [{"ct": {"key": "status"}}, ["snat", "dnat"]]}, "right": "dnat"}}]}
ct mark & 0xff == 0x1 ; ok ; ct mark & 255 == 1 ; {"expr": [{"match": {"op": "==", "left": {"&": [{"ct": {"key": "mark"}}, 255]}, "right": 1}}]}
ct mark { 1, 2, 5-9 } ; ok ; ct mark { 1-2, 5-9 } ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "mark"}}, "right": {"set": [{"range": [1, 2]}, {"range": [5, 9]}]}}}]}
ct mark > 5 ; ok ; ct mark 6-4294967295 ; {"expr": [{"match": {"op": ">", "left": {"ct": {"key": "mark"}}, "right": 5}}]}
ct original ip saddr != 192.0.2.0/24 ; ok ; ct original ip saddr != 192.0.2.0/24 ; {"expr": [{"match": {"op": "!=", "left": {"ct": {"key": "ip saddr", "dir": "original"}}, "right": {"prefix": {"addr": "192.0.2.0", "len": 24}}}}]}
ct reply ip6 daddr 2001:db8::1 ; ok ; ct reply ip6 daddr 2001:db8::1 ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "ip6 daddr", "dir": "reply"}}, "right": "2001:db8::1"}}]}
ct l3proto ipv4 ; ok ; ct l3proto ipv4 ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "l3proto"}}, "right": "ipv4"}}]}
ct protocol tcp ; ok ; ct protocol 6 ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "protocol"}}, "right": "tcp"}}]}
ct original zone 5 ; ok ; ct original zone 5 ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "zone", "dir": "original"}}, "right": 5}}]}
ct expiration < 1m ; ok ; ct expiration 0-59 ; {"expr": [{"match": {"op": "<", "left": {"ct": {"key": "expiration"}}, "right": 60}}]}
ct bytes > 100 ; ok ; ct bytes > 100 ; {"expr": [{"match": {"op": ">", "left": {"ct": {"key": "bytes"}}, "right": 100}}]}
ct original packets > 5 ; ok ; ct original packets > 5 ; {"expr": [{"match": {"op": ">", "left": {"ct": {"key": "packets", "dir": "original"}}, "right": 5}}]}
ct original ip saddr 192.0.2.1 ; ok ; ct original ip saddr 192.0.2.1 ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "ip saddr", "dir": "original"}}, "right": "192.0.2.1"}}]}
ct helper "ftp" ; ok ; ct helper ftp ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "helper"}}, "right": "ftp"}}]}
iifname "eth0" accept ; ok ; iifname "eth0" accept ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth0"}}, {"accept": null}]}
iifname != "lo" drop ; ok ; iifname != "lo" drop ; {"expr": [{"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"drop": null}]}
iifname "wg*" ; ok ; iifname "wg*" ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "wg*"}}]}
iifname { "eth0", "eth1" } ; ok ; iifname { "eth0", "eth1" } ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": {"set": ["eth0", "eth1"]}}}]}
iifname != { "eth0", "eth1" } ; ok ; iifname != { "eth0", "eth1" } ; {"expr": [{"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": {"set": ["eth0", "eth1"]}}}]}
iif "lo" accept ; ok ; iifname "lo" accept ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, {"accept": null}]}
iif != "lo" ; ok ; iifname != "lo" ; {"expr": [{"match": {"op": "!=", "left": {"meta": {"key": "iif"}}, "right": "lo"}}]}
oifname "eth0" ; ok ; oifname "eth0" ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}}]}
iifgroup 5 ; ok ; meta iifgroup 5 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifgroup"}}, "right": 5}}]}
iifname . tcp dport { "eth0" . 80, "eth1" . 443 } accept ; ok ; meta l4proto 6 iifname . tcp dport { "eth0" . 80, "eth1" . 443 } accept ; {"expr": [{"match": {"op": "==", "left": {"concat": [{"meta": {"key": "iifname"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["eth0", 80]}, {"concat": ["eth1", 443]}]}}}, {"accept": null}]}
ip saddr . tcp dport { 192.0.2.1 . 80, 198.51.100.0/24 . 443 } accept ; ok ; meta nfproto ipv4 meta l4proto 6 ip saddr . tcp dport { 192.0.2.1 . 80, 198.51.100.0/24 . 443 } accept ; {"expr": [{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["192.0.2.1", 80]}, {"concat": [{"prefix": {"addr": "198.51.100.0", "len": 24}}, 443]}]}}}, {"accept": null}]}
ip saddr . tcp dport != { 192.0.2.1 . 80, 192.0.2.2 . 443 } drop ; ok ; meta nfproto ipv4 meta l4proto 6 ip saddr . tcp dport != { 192.0.2.1 . 80, 192.0.2.2 . 443 } drop ; {"expr": [{"match": {"op": "!=", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["192.0.2.1", 80]}, {"concat": ["192.0.2.2", 443]}]}}}, {"drop": null}]}
meta mark 5 ; ok ; meta mark 5 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 5}}]}
meta mark != 5 ; ok ; meta mark != 5 ; {"expr": [{"match": {"op": "!=", "left": {"meta": {"key": "mark"}}, "right": 5}}]}
meta mark & 0xff == 5 ; ok ; meta mark & 0xff == 0x5 ; {"expr": [{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 255]}, "right": 5}}]}
meta mark & 0xff != 5 ; ok ; meta mark & 0xff != 0x5 ; {"expr": [{"match": {"op": "!=", "left": {"&": [{"meta": {"key": "mark"}}, 255]}, "right": 5}}]}
meta mark { 1, 2, 5-9 } ; ok ; meta mark { 1-2, 5-9 } ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": {"set": [{"range": [1, 2]}, {"range": [5, 9]}]}}}]}
meta mark set 5 ; ok ; meta mark set 0x5 ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 5}}]}
meta mark set meta mark | 0x10 ; ok ; meta mark set meta mark | 0x10 ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 16]}}}]}
meta mark set meta mark & 0x10 ; ok ; meta mark set meta mark & 0x10 ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"&": [{"meta": {"key": "mark"}}, 16]}}}]}
meta mark set meta mark ^ 0x10 ; ok ; meta mark set meta mark ^ 0x10 ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"^": [{"meta": {"key": "mark"}}, 16]}}}]}
meta mark set meta mark & 0xffffff00 | 0x5 ; ok ; meta mark set meta mark & 0xffffff00 | 0x5 ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"&": [{"meta": {"key": "mark"}}, 4294967045]}, 5]}}}]}
meta mark set ct mark ; ok ; meta mark set ct mark ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}}]}
ct mark set meta mark ; ok ; ct mark set meta mark ; {"expr": [{"mangle": {"key": {"ct": {"key": "mark"}}, "value": {"meta": {"key": "mark"}}}}]}
meta mark set 5 tcp dport 80 accept ; ok ; meta mark set 0x5 || meta l4proto 6 tcp dport 80 accept ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 5}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"accept": null}]}
meta mark 0 meta mark set 5 tcp dport 80 accept ; ok ; (no nft rule says OpaqueMatch(kind='order', text='meta mark 0 meta mark set 5 tcp dport 80 accept')) ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 0}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 5}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"accept": null}]}
meta pkttype multicast ; ok ; meta pkttype multicast ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "pkttype"}}, "right": "multicast"}}]}
meta pkttype { broadcast, multicast } ; ok ; meta pkttype { broadcast, multicast } ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "pkttype"}}, "right": {"set": ["broadcast", "multicast"]}}}]}
meta length > 100 ; ok ; meta length 101-65535 ; {"expr": [{"match": {"op": ">", "left": {"meta": {"key": "length"}}, "right": 100}}]}
meta skuid 0 ; ok ; meta skuid 0 ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "skuid"}}, "right": 0}}]}
meta time < "2030-11-22 20:00:00" ; ok ; meta time < "2030-11-22 20:00:00" ; {"expr": [{"match": {"op": "<", "left": {"meta": {"key": "time"}}, "right": "2030-11-22 20:00:00"}}]}
meta hour "09:00"-"17:00" ; ok ; meta hour "09:00"-"17:00" ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "hour"}}, "right": {"range": ["09:00", "17:00"]}}}]}
ip ttl 64 ; ok ; meta nfproto ipv4 ip ttl 64 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "ttl"}}, "right": 64}}]}
ip ttl < 5 ; ok ; meta nfproto ipv4 ip ttl 0-4 ; {"expr": [{"match": {"op": "<", "left": {"payload": {"protocol": "ip", "field": "ttl"}}, "right": 5}}]}
ip6 hoplimit 255 ; ok ; meta nfproto ipv6 ip6 hoplimit 255 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "hoplimit"}}, "right": 255}}]}
ip dscp cs1 ; ok ; meta nfproto ipv4 ip dscp 8 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "dscp"}}, "right": "cs1"}}]}
ip dscp != { cs1, af11 } ; ok ; meta nfproto ipv4 ip dscp != { 8, 10 } ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "dscp"}}, "right": {"set": ["cs1", "af11"]}}}]}
ip6 dscp ef ; ok ; meta nfproto ipv6 ip6 dscp 46 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "dscp"}}, "right": "ef"}}]}
ip ecn ect1 accept ; ok ; meta nfproto ipv4 ip ecn 1 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "ecn"}}, "right": "ect1"}}, {"accept": null}]}
ip ecn != ce ; ok ; meta nfproto ipv4 ip ecn 0-2 ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "ecn"}}, "right": "ce"}}]}
ip6 ecn { ect0, ce } drop ; ok ; meta nfproto ipv6 ip6 ecn 2-3 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "ecn"}}, "right": {"set": ["ect0", "ce"]}}}, {"drop": null}]}
ip6 ecn not-ect ; ok ; meta nfproto ipv6 ip6 ecn 0 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "ecn"}}, "right": "not-ect"}}]}
ip ecn set ce ; ok ; meta nfproto ipv4 ip ecn set ce ; {"expr": [{"mangle": {"key": {"payload": {"protocol": "ip", "field": "ecn"}}, "value": "ce"}}]}
ip length 100-200 ; ok ; meta nfproto ipv4 meta length 100-200 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "length"}}, "right": {"range": [100, 200]}}}]}
ip frag-off & 0x1fff != 0 drop ; ok ; meta nfproto ipv4 ip frag-off & 0x1fff != 0 drop ; {"expr": [{"match": {"op": "!=", "left": {"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 8191]}, "right": 0}}, {"drop": null}]}
ip frag-off & 0x1fff == 0 ; ok ; meta nfproto ipv4 ip frag-off & 0x1fff == 0 ; {"expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 8191]}, "right": 0}}]}
fib daddr type local accept ; ok ; fib daddr type local accept ; {"expr": [{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}}, {"accept": null}]}
fib saddr type { local, broadcast } ; ok ; fib saddr type { local, broadcast } ; {"expr": [{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": {"set": ["local", "broadcast"]}}}]}
fib daddr . iif type local ; ok ; fib daddr . iif type local ; {"expr": [{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr", "iif"]}}, "right": "local"}}]}
fib saddr . iif oif missing drop ; ok ; fib saddr . iif oif missing drop ; {"expr": [{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": false}}, {"drop": null}]}
ether saddr 00:11:22:33:44:55 ; ok ; ether saddr 00:11:22:33:44:55 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ether", "field": "saddr"}}, "right": "00:11:22:33:44:55"}}]}
limit rate 5/minute accept ; ok ; limit rate 5/minute burst 5 packets accept ; {"expr": [{"limit": {"rate": 5, "burst": 5, "per": "minute"}}, {"accept": null}]}
limit rate over 10/second burst 5 packets drop ; ok ; limit rate over 10/second burst 5 packets drop ; {"expr": [{"limit": {"rate": 10, "burst": 5, "per": "second", "inv": true}}, {"drop": null}]}
tcp dport 80 limit rate 5/second counter accept ; ok ; meta l4proto 6 tcp dport 80 limit rate 5/second burst 5 packets counter accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}}, {"limit": {"rate": 5, "burst": 5, "per": "second"}}, {"counter": {"packets": 0, "bytes": 0}}, {"accept": null}]}
tcp dport vmap { 22 : accept, 23 : drop, 80-90 : jump user } ; ok ; meta l4proto 6 tcp dport 22 accept || meta l4proto 6 tcp dport 23 drop || meta l4proto 6 tcp dport 80-90 jump user ; {"expr": [{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, {"accept": null}], [23, {"drop": null}], [{"range": [80, 90]}, {"jump": {"target": "user"}}]]}}}]}
ip saddr vmap { 10.0.0.0/8 : accept, 192.0.2.1 : continue } ; ok ; meta nfproto ipv4 ip saddr 10.0.0.0/8 accept || meta nfproto ipv4 ip saddr 192.0.2.1 ; {"expr": [{"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [[{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"accept": null}], ["192.0.2.1", {"continue": null}]]}}}]}
counter tcp dport 22 accept ; ok ; meta l4proto 6 tcp dport 22 counter accept ; {"expr": [{"counter": {"packets": 0, "bytes": 0}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}]}
tcp dport 22 counter log prefix "ssh " accept ; ok ; meta l4proto 6 tcp dport 22 counter log prefix "ssh " accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"counter": {"packets": 0, "bytes": 0}}, {"log": {"prefix": "ssh "}}, {"accept": null}]}
reject ; ok ; reject with icmpx type port-unreachable ; {"expr": [{"reject": {"type": "icmpx", "expr": "port-unreachable"}}]}
reject with icmp host-unreachable ; ok ; meta nfproto ipv4 reject with icmp type host-unreachable ; {"expr": [{"reject": {"type": "icmp", "expr": "host-unreachable"}}]}
reject with icmp prot-unreachable ; ok ; meta nfproto ipv4 reject with icmp type prot-unreachable ; {"expr": [{"reject": {"type": "icmp", "expr": "prot-unreachable"}}]}
reject with icmpv6 admin-prohibited ; ok ; meta nfproto ipv6 reject with icmpv6 type admin-prohibited ; {"expr": [{"reject": {"type": "icmpv6", "expr": "admin-prohibited"}}]}
reject with icmpx admin-prohibited ; ok ; reject with icmpx type admin-prohibited ; {"expr": [{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]}
reject with icmpx host-unreachable ; ok ; reject with icmpx type host-unreachable ; {"expr": [{"reject": {"type": "icmpx", "expr": "host-unreachable"}}]}
reject with icmp frag-needed ; ok ; meta nfproto ipv4 reject with icmp type frag-needed ; {"expr": [{"reject": {"type": "icmp", "expr": "frag-needed"}}]}
reject with icmp 7 ; ok ; meta nfproto ipv4 reject with icmp type 7 ; {"expr": [{"reject": {"type": "icmp", "expr": 7}}]}
reject with icmpv6 2 ; ok ; meta nfproto ipv6 reject with icmpv6 type 2 ; {"expr": [{"reject": {"type": "icmpv6", "expr": 2}}]}
reject with tcp reset ; ok ; meta l4proto 6 reject with tcp reset ; {"expr": [{"reject": {"type": "tcp reset"}}]}
tcp dport 22 reject with tcp reset ; ok ; meta l4proto 6 tcp dport 22 reject with tcp reset ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"reject": {"type": "tcp reset"}}]}
tcp dport 22 comment "a comment" ; ok ; meta l4proto 6 tcp dport 22 comment "a comment" ; {"comment": "a comment", "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}]}
notrack ; ok ; notrack ; {"expr": [{"notrack": null}]}
socket transparent 1 ; ok ; socket transparent 1 ; {"expr": [{"match": {"op": "==", "left": {"socket": {"key": "transparent"}}, "right": 1}}]}
exthdr rt exists drop ; ok ; meta nfproto ipv6 exthdr rt exists drop ; {"expr": [{"match": {"op": "==", "left": {"exthdr": {"name": "rt"}}, "right": true}}, {"drop": null}]}
tcp option maxseg size 1-500 ; ok ; meta l4proto 6 tcp option maxseg size 1-500 ; {"expr": [{"match": {"op": "==", "left": {"tcp option": {"name": "maxseg", "field": "size"}}, "right": {"range": [1, 500]}}}]}
numgen inc mod 2 0 ; ok ; numgen inc mod 2 0 ; {"expr": [{"match": {"op": "==", "left": {"numgen": {"mode": "inc", "mod": 2, "offset": 0}}, "right": 0}}]}
@ip
ip saddr 10.0.0.0/8 tcp dport 22 accept ; ok ; ip saddr 10.0.0.0/8 meta l4proto 6 tcp dport 22 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}]}
icmp type echo-request ; ok ; meta l4proto 1 icmp type 8 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}]}
meta protocol ip ; ok ; meta protocol ip ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "protocol"}}, "right": "ip"}}]}
reject ; ok ; reject with icmp type port-unreachable ; {"expr": [{"reject": {"type": "icmp", "expr": "port-unreachable"}}]}
tcp sport 11211 notrack ; ok ; meta l4proto 6 tcp sport 11211 notrack ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 11211}}, {"notrack": null}]}
@ip6
ip6 saddr 2001:db8::/32 tcp dport 22 accept ; ok ; ip6 saddr 2001:db8::/32 meta l4proto 6 tcp dport 22 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "saddr"}}, "right": {"prefix": {"addr": "2001:db8::", "len": 32}}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}, {"accept": null}]}
icmpv6 type echo-request ; ok ; meta l4proto 58 icmpv6 type 128 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "type"}}, "right": "echo-request"}}]}
reject ; ok ; reject with icmpv6 type port-unreachable ; {"expr": [{"reject": {"type": "icmpv6", "expr": "port-unreachable"}}]}
udp dport 53 ip6 daddr 2001:db8::1 notrack ; ok ; meta l4proto 17 udp dport 53 ip6 daddr 2001:db8::1 notrack ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}}, {"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "daddr"}}, "right": "2001:db8::1"}}, {"notrack": null}]}
@inet
- ; fail ; an object in a shape that nft does not print: 'expr' ; {}
- ; fail ; an object in a shape that nft does not print: 'int' object is not iterable ; {"expr": 5}
- ; fail ; an object in a shape that nft does not print: inet t c rule 1: no expression: 5 ; {"expr": [5]}
- ; fail ; an object in a shape that nft does not print: inet t c rule 1: no expression: {} ; {"expr": [{}]}
- ; fail ; an object in a shape that nft does not print: 'left' ; {"expr": [{"match": {}}]}
- ; fail ; an object in a shape that nft does not print: 'right' ; {"expr": [{"match": {"left": 5}}]}
- ; fail ; an object in a shape that nft does not print: 'data' ; {"expr": [{"vmap": {"key": 5}}]}
- ; fail ; an object in a shape that nft does not print: 'int' object is not subscriptable ; {"expr": [{"vmap": {"key": {"meta": {"key": "mark"}}, "data": 5}}]}
- ; fail ; jump to chain nowhere, which this table does not have ; {"expr": [{"jump": {"target": "nowhere"}}]}
- ; fail ; chains jump in a circle: c -> c ; {"expr": [{"jump": {"target": "c"}}]}
- ; fail ; an object in a shape that nft does not print: 'int' object is not subscriptable ; {"expr": [{"jump": 5}]}
- ; fail ; an object in a shape that nft does not print: 'expr' ; []
@inet
ip dscp set cs2 accept ; ok ; meta nfproto ipv4 ip dscp set cs2 accept ; {"expr": [{"mangle": {"key": {"payload": {"protocol": "ip", "field": "dscp"}}, "value": "cs2"}}, {"accept": null}]}
ip6 hoplimit set 9 drop ; ok ; meta nfproto ipv6 ip6 hoplimit set 9 drop ; {"expr": [{"mangle": {"key": {"payload": {"protocol": "ip6", "field": "hoplimit"}}, "value": 9}}, {"drop": null}]}
tcp option maxseg size set 1220 drop ; ok ; meta l4proto 6 tcp option maxseg size set 1220 drop ; {"expr": [{"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": 1220}}, {"drop": null}]}
tcp option maxseg missing drop ; ok ; tcp option maxseg missing drop ; {"expr": [{"match": {"op": "==", "left": {"tcp option": {"name": "maxseg"}}, "right": false}}, {"drop": null}]}
udp dport set 5300 accept ; ok ; meta l4proto 17 udp dport set 5300 accept ; {"expr": [{"mangle": {"key": {"payload": {"protocol": "udp", "field": "dport"}}, "value": 5300}}, {"accept": null}]}
meta l4proto . th dport { tcp . 8443, udp . 514 } drop ; ok ; meta l4proto . th dport { 17 . 514, 6 . 8443 } drop ; {"expr": [{"match": {"op": "==", "left": {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]}, "right": {"set": [{"concat": ["udp", 514]}, {"concat": ["tcp", 8443]}]}}}, {"drop": null}]}
meta l4proto . th sport != @svc drop ; ok ; meta l4proto . th sport != @svc drop ; {"expr": [{"match": {"op": "!=", "left": {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "sport"}}]}, "right": "@svc"}}, {"drop": null}]}
th sport 514 accept ; ok ; meta l4proto { 6, 17, 33, 132, 136 } th sport 514 accept || meta l4proto != { 6, 17, 33, 132, 136 } th sport 514 accept ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "sport"}}, "right": 514}}, {"accept": null}]}
ip saddr . th dport { 192.0.2.8 . 25 } accept ; ok ; meta l4proto { 6, 17, 33, 132, 136 } meta nfproto ipv4 ip saddr 192.0.2.8 th dport 25 accept || meta l4proto != { 6, 17, 33, 132, 136 } meta nfproto ipv4 ip saddr . th dport { 192.0.2.8 . 25 } accept ; {"expr": [{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "th", "field": "dport"}}]}, "right": {"set": [{"concat": ["192.0.2.8", 25]}]}}}, {"accept": null}]}
tcp dport vmap { 25 : drop, * : accept } ; ok ; meta l4proto 6 tcp dport 25 drop || meta l4proto 6 tcp dport != 25 accept ; {"expr": [{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[25, {"drop": null}], ["*", {"accept": null}]]}}}]}
meta mark set udp sport map { 514 : 3, 161 : 9 } accept ; ok ; meta l4proto 17 udp sport 161 meta mark set 0x9 accept || meta l4proto 17 udp sport 514 meta mark set 0x3 accept ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "udp", "field": "sport"}}, "data": {"set": [[161, 9], [514, 3]]}}}}}, {"accept": null}]}
meta mark set tcp dport map @m1 ; ok ; meta l4proto 6 meta mark set tcp dport map @m1 ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@m1"}}}}]}
meta priority set tcp dport map { 25 : 1:7 } drop ; ok ; meta l4proto 6 tcp dport 25 meta priority set 1:7 drop ; {"expr": [{"mangle": {"key": {"meta": {"key": "priority"}}, "value": {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[25, "1:7"]]}}}}}, {"drop": null}]}
add @dyn { ip saddr . tcp dport } accept ; ok ; meta nfproto ipv4 meta l4proto 6 add @dyn { ip saddr . tcp dport } accept ; {"expr": [{"set": {"op": "add", "elem": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "set": "@dyn"}}, {"accept": null}]}
update @dyn { ip saddr . tcp dport limit rate 5/second } drop ; ok ; meta nfproto ipv4 meta l4proto 6 update @dyn { ip saddr . tcp dport limit rate 5/second burst 5 packets } drop ; {"expr": [{"set": {"op": "update", "elem": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "set": "@dyn", "stmt": [{"limit": {"rate": 5, "burst": 5, "per": "second"}}]}}, {"drop": null}]}
numgen inc mod 3 vmap { 0 : accept, 1 : drop, 2 : accept } ; ok ; numgen inc mod 3 { 0, 2 } accept || numgen inc mod 3 != { 0, 2 } drop ; {"expr": [{"vmap": {"key": {"numgen": {"mode": "inc", "mod": 3, "offset": 0}}, "data": {"set": [[0, {"accept": null}], [1, {"drop": null}], [2, {"accept": null}]]}}}]}
meta mark set numgen random mod 2 map { 0 : 4, 1 : 6 } accept ; ok ; numgen random mod 2 0 meta mark set 0x4 accept || numgen random mod 2 != 0 meta mark set 0x6 accept ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}}, "data": {"set": [[0, 4], [1, 6]]}}}}}, {"accept": null}]}
ct timeout set "slow" accept ; ok ; ct timeout set "slow" accept ; {"expr": [{"ct timeout": "slow"}, {"accept": null}]}
ct expectation set "more" accept ; ok ; ct expectation set "more" accept ; {"expr": [{"ct expectation": "more"}, {"accept": null}]}
ct helper set "h1" accept ; ok ; ct helper set "h1" accept ; {"expr": [{"ct helper": "h1"}, {"accept": null}]}
@ip
tcp dport 993 ip daddr set 192.0.2.40 ; ok ; meta l4proto 6 tcp dport 993 ip daddr set 192.0.2.40 ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 993}}, {"mangle": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "value": "192.0.2.40"}}]}
meta mark set ip saddr map { 192.0.2.0/26 : 1, 198.51.100.0/24 : 2 } accept ; ok ; ip saddr 192.0.2.0/26 meta mark set 0x1 accept || ip saddr 198.51.100.0/24 meta mark set 0x2 accept ; {"expr": [{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"map": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [[{"prefix": {"addr": "192.0.2.0", "len": 26}}, 1], [{"prefix": {"addr": "198.51.100.0", "len": 24}}, 2]]}}}}}, {"accept": null}]}
ip saddr != @late drop ; ok ; ip saddr != @late drop ; {"expr": [{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@late"}}, {"drop": null}]}
