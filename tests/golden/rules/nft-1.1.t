@inet
ip option lsrr addr 192.0.2.1 drop ; ok ; meta nfproto ipv4 ip option lsrr addr 192.0.2.1 drop ; {"expr": [{"match": {"op": "==", "left": {"ip option": {"name": "lsrr", "field": "addr"}}, "right": "192.0.2.1"}}, {"drop": null}]}
ip option ra exists drop ; ok ; meta nfproto ipv4 ip option ra exists drop ; {"expr": [{"match": {"op": "==", "left": {"ip option": {"name": "ra"}}, "right": true}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='sctp chunk', text="{'match': {'op': '==', 'left': {'sctp chunk': {'name': 'data', 'field': 'tsn'}}, 'right': 5}}")) ; {"expr": [{"match": {"op": "==", "left": {"sctp chunk": {"name": "data", "field": "tsn"}}, "right": 5}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='sctp chunk', text="{'match': {'op': '==', 'left': {'sctp chunk': {'name': 'init'}}, 'right': True}}")) ; {"expr": [{"match": {"op": "==", "left": {"sctp chunk": {"name": "init"}}, "right": true}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='dccp option', text="{'match': {'op': '==', 'left': {'dccp option': {'type': 3}}, 'right': True}}")) ; {"expr": [{"match": {"op": "==", "left": {"dccp option": {"type": 3}}, "right": true}}, {"drop": null}]}
tcp option mptcp subtype 1 drop ; ok ; meta l4proto 6 tcp option mptcp subtype 1 drop ; {"expr": [{"match": {"op": "==", "left": {"tcp option": {"name": "mptcp", "field": "subtype"}}, "right": 1}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='tcp option', text="{'match': {'op': '==', 'left': {'tcp option': {'base': 42, 'offset': 16, 'len': 4}}, 'right': 5}}")) ; {"expr": [{"match": {"op": "==", "left": {"tcp option": {"base": 42, "offset": 16, "len": 4}}, "right": 5}}, {"drop": null}]}
rt0 addr[0] 2001:db8::1 drop ; ok ; meta nfproto ipv6 rt0 addr[0] 2001:db8::1 drop ; {"expr": [{"match": {"op": "==", "left": {"exthdr": {"name": "rt0", "field": "addr[0]"}}, "right": "2001:db8::1"}}, {"drop": null}]}
srh tag 5 drop ; ok ; meta nfproto ipv6 srh tag 5 drop ; {"expr": [{"match": {"op": "==", "left": {"exthdr": {"name": "srh", "field": "tag"}}, "right": 5}}, {"drop": null}]}
mh type 5 drop ; ok ; meta nfproto ipv6 mh type 5 drop ; {"expr": [{"match": {"op": "==", "left": {"exthdr": {"name": "mh", "field": "type"}}, "right": 5}}, {"drop": null}]}
jhash ip saddr mod 2 seed 0x1 0 drop ; ok ; meta nfproto ipv4 jhash ip saddr mod 2 seed 0x1 0 drop ; {"expr": [{"match": {"op": "==", "left": {"jhash": {"mod": 2, "seed": 1, "expr": {"payload": {"protocol": "ip", "field": "saddr"}}}}, "right": 0}}, {"drop": null}]}
symhash mod 2 0 drop ; ok ; symhash mod 2 0 drop ; {"expr": [{"match": {"op": "==", "left": {"symhash": {"mod": 2}}, "right": 0}}, {"drop": null}]}
osf name "Linux" drop ; ok ; osf name "Linux" drop ; {"expr": [{"match": {"op": "==", "left": {"osf": {"key": "name"}}, "right": "Linux"}}, {"drop": null}]}
osf ttl loose version "Linux:4.20" drop ; ok ; osf ttl loose version "Linux:4.20" drop ; {"expr": [{"match": {"op": "==", "left": {"osf": {"key": "version", "ttl": "loose"}}, "right": "Linux:4.20"}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='ipsec', text="{'match': {'op': '==', 'left': {'ipsec': {'key': 'reqid', 'dir': 'in', 'spnum': 0}}, 'right': 1}}")) ; {"expr": [{"match": {"op": "==", "left": {"ipsec": {"key": "reqid", "dir": "in", "spnum": 0}}, "right": 1}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='ipsec', text="{'match': {'op': '==', 'left': {'ipsec': {'key': 'saddr', 'family': 'ip', 'dir': 'in', 'spnum': 0}}, 'right': '192.0.2.1'}}")) ; {"expr": [{"match": {"op": "==", "left": {"ipsec": {"key": "saddr", "family": "ip", "dir": "in", "spnum": 0}}, "right": "192.0.2.1"}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='tunnel', text="{'match': {'op': '==', 'left': {'tunnel': {'key': 'id'}}, 'right': 10}}")) ; {"expr": [{"match": {"op": "==", "left": {"tunnel": {"key": "id"}}, "right": 10}}, {"drop": null}]}
rt mtu >= 1280 drop ; ok ; rt mtu >= 1280 drop ; {"expr": [{"match": {"op": ">=", "left": {"rt": {"key": "mtu"}}, "right": 1280}}, {"drop": null}]}
rt ip nexthop 192.0.2.1 drop ; ok ; rt ip nexthop 192.0.2.1 drop ; {"expr": [{"match": {"op": "==", "left": {"rt": {"key": "nexthop", "family": "ip"}}, "right": "192.0.2.1"}}, {"drop": null}]}
socket cgroupv2 level 1 "system.slice" drop ; ok ; socket cgroupv2 level 1 "system.slice" drop ; {"expr": [{"match": {"op": "==", "left": {"socket": {"key": "cgroupv2", "level": 1}}, "right": "system.slice"}}, {"drop": null}]}
vxlan ip saddr 192.0.2.1 drop ; ok ; vxlan ip saddr 192.0.2.1 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"tunnel": "vxlan", "protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}, {"drop": null}]}
geneve tcp dport 22 drop ; ok ; geneve tcp dport 22 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"tunnel": "geneve", "protocol": "tcp", "field": "dport"}}, "right": 22}}, {"drop": null}]}
vxlan vni 10 drop ; ok ; vxlan vni 10 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "vxlan", "field": "vni"}}, "right": 10}}, {"drop": null}]}
gre protocol ip drop ; ok ; meta l4proto 47 gre protocol ip drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "gre", "field": "protocol"}}, "right": "ip"}}, {"drop": null}]}
igmp type membership-query drop ; ok ; meta nfproto ipv4 meta l4proto 2 igmp type membership-query drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "igmp", "field": "type"}}, "right": "membership-query"}}, {"drop": null}]}
esp spi 5 drop ; ok ; esp spi 5 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "esp", "field": "spi"}}, "right": 5}}, {"drop": null}]}
ah spi 5 drop ; ok ; ah spi 5 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ah", "field": "spi"}}, "right": 5}}, {"drop": null}]}
comp cpi 5 drop ; ok ; meta l4proto 108 comp cpi 5 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "comp", "field": "cpi"}}, "right": 5}}, {"drop": null}]}
arp operation request drop ; ok ; arp operation request drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "arp", "field": "operation"}}, "right": "request"}}, {"drop": null}]}
vlan id 5 drop ; ok ; vlan id 5 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "vlan", "field": "id"}}, "right": 5}}, {"drop": null}]}
icmp mtu 1200 drop ; ok ; ip protocol 1 icmp mtu 1200 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "mtu"}}, "right": 1200}}, {"drop": null}]}
counter @ll,0,48 5 drop ; ok ; @ll,0,48 5 counter drop ; {"expr": [{"counter": null}, {"match": {"op": "==", "left": {"payload": {"base": "ll", "offset": 0, "len": 48}}, "right": 5}}, {"drop": null}]}
counter @ih,32,32 5 drop ; ok ; @ih,32,32 5 counter drop ; {"expr": [{"counter": null}, {"match": {"op": "==", "left": {"payload": {"base": "ih", "offset": 32, "len": 32}}, "right": 5}}, {"drop": null}]}
meta broute 1 drop ; ok ; meta broute 1 drop ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "broute"}}, "right": 1}}, {"drop": null}]}
sdifname "vrf0" drop ; ok ; sdifname "vrf0" drop ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "sdifname"}}, "right": "vrf0"}}, {"drop": null}]}
meta brnfproto 1 drop ; ok ; meta brnfproto 1 drop ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "brnfproto"}}, "right": 1}}, {"drop": null}]}
ct label == gold drop ; ok ; ct label == gold drop ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "label"}}, "right": "gold"}}, {"drop": null}]}
ct avgpkt > 100 drop ; ok ; ct avgpkt > 100 drop ; {"expr": [{"match": {"op": ">", "left": {"ct": {"key": "avgpkt"}}, "right": 100}}, {"drop": null}]}
ct original packets > 5 drop ; ok ; ct original packets > 5 drop ; {"expr": [{"match": {"op": ">", "left": {"ct": {"key": "packets", "dir": "original"}}, "right": 5}}, {"drop": null}]}
ct original ip saddr 192.0.2.1 drop ; ok ; ct original ip saddr 192.0.2.1 drop ; {"expr": [{"match": {"op": "==", "left": {"ct": {"key": "ip saddr", "dir": "original"}}, "right": "192.0.2.1"}}, {"drop": null}]}
fib saddr . iif oif missing drop ; ok ; fib saddr . iif oif missing drop ; {"expr": [{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": false}}, {"drop": null}]}
fib saddr . iif check exists drop ; ok ; fib saddr . iif check exists drop ; {"expr": [{"match": {"op": "==", "left": {"fib": {"result": "check", "flags": ["saddr", "iif"]}}, "right": "exists"}}, {"drop": null}]}
numgen random mod 100 < 30 drop ; ok ; numgen random mod 100 < 30 drop ; {"expr": [{"match": {"op": "<", "left": {"numgen": {"mode": "random", "mod": 100, "offset": 0}}, "right": 30}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='newexpr', text="{'match': {'op': '==', 'left': {'newexpr': {'key': 'x'}}, 'right': 5}}")) ; {"expr": [{"match": {"op": "==", "left": {"newexpr": {"key": "x"}}, "right": 5}}, {"drop": null}]}
meta newkey 5 drop ; ok ; meta newkey 5 drop ; {"expr": [{"match": {"op": "==", "left": {"meta": {"key": "newkey"}}, "right": 5}}, {"drop": null}]}
newproto field 5 drop ; ok ; newproto field 5 drop ; {"expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "newproto", "field": "field"}}, "right": 5}}, {"drop": null}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='xor', text="{'match': {'op': '==', 'left': {'xor': [{'meta': {'key': 'mark'}}, 5]}, 'right': 5}}")) ; {"expr": [{"match": {"op": "==", "left": {"xor": [{"meta": {"key": "mark"}}, 5]}, "right": 5}}, {"drop": null}]}
quota over 25 mbytes ; ok ; quota over 25 mbytes ; {"expr": [{"quota": {"val": 25, "val_unit": "mbytes", "inv": true}}]}
quota name "q" ; ok ; quota name "q" ; {"expr": [{"quota": "q"}]}
limit rate 10/second ; ok ; limit rate 10/second burst 5 packets ; {"expr": [{"limit": {"rate": 10, "per": "second"}}]}
limit name "l" ; ok ; limit name "l" ; {"expr": [{"limit": "l"}]}
fwd device "eth1" ; ok ; fwd device "eth1" ; {"expr": [{"fwd": {"dev": "eth1"}}]}
fwd ip to 192.0.2.1 device "eth1" ; ok ; fwd ip to 192.0.2.1 device "eth1" ; {"expr": [{"fwd": {"dev": "eth1", "family": "ip", "addr": "192.0.2.1"}}]}
dup to 192.0.2.1 device "eth1" ; ok ; dup to 192.0.2.1 device "eth1" ; {"expr": [{"dup": {"addr": "192.0.2.1", "dev": "eth1"}}]}
snat ip to 192.0.2.1 ; ok ; meta nfproto ipv4 snat ip to 192.0.2.1 ; {"expr": [{"snat": {"family": "ip", "addr": "192.0.2.1"}}]}
snat ip to ip saddr map { 10.0.0.1 : 192.0.2.1 } ; ok ; meta nfproto ipv4 ip saddr 10.0.0.1 snat ip to 192.0.2.1 ; {"expr": [{"snat": {"family": "ip", "addr": {"map": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [["10.0.0.1", "192.0.2.1"]]}}}}}]}
masquerade ; ok ; masquerade ; {"expr": [{"masquerade": null}]}
masquerade to :1024-2048 random ; ok ; masquerade to :1024-2048 random ; {"expr": [{"masquerade": {"port": {"range": [1024, 2048]}, "flags": "random"}}]}
redirect to :8080 ; ok ; redirect to :8080 ; {"expr": [{"redirect": {"port": 8080}}]}
add @s { ip saddr } ; ok ; meta nfproto ipv4 add @s { ip saddr } ; {"expr": [{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s"}}]}
update @s { ip saddr timeout 60s } ; ok ; meta nfproto ipv4 update @s { ip saddr timeout 60s } ; {"expr": [{"set": {"op": "update", "elem": {"elem": {"val": {"payload": {"protocol": "ip", "field": "saddr"}}, "timeout": 60}}, "set": "@s"}}]}
delete @s { ip saddr } ; ok ; meta nfproto ipv4 delete @s { ip saddr } ; {"expr": [{"set": {"op": "delete", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s"}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='map', text="{'map': {'op': 'update', 'elem': {'payload': {'protocol': 'ip', 'field': 'saddr'}}, 'data': 5, 'map': '@m'}}")) ; {"expr": [{"map": {"op": "update", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": 5, "map": "@m"}}]}
ct helper set "ftp-std" ; ok ; ct helper set "ftp-std" ; {"expr": [{"ct helper": "ftp-std"}]}
ct timeout set "short" ; ok ; ct timeout set "short" ; {"expr": [{"ct timeout": "short"}]}
ct expectation set "e" ; ok ; ct expectation set "e" ; {"expr": [{"ct expectation": "e"}]}
ct count over 20 ; ok ; ct count over 20 ; {"expr": [{"ct count": {"val": 20, "inv": true}}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='meter', text="{'meter': {'key': {'payload': {'protocol': 'ip', 'field': 'saddr'}}, 'stmt': {'limit': {'rate': 10, 'per': 'second'}}, 'size': 65535, 'name': 'm'}}")) ; {"expr": [{"meter": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "stmt": {"limit": {"rate": 10, "per": "second"}}, "size": 65535, "name": "m"}}]}
queue ; ok ; queue to 0 ; {"expr": [{"queue": null}]}
queue flags bypass,fanout to 0-3 ; ok ; queue flags bypass,fanout to 0-3 ; {"expr": [{"queue": {"num": {"range": [0, 3]}, "flags": ["bypass", "fanout"]}}]}
queue to symhash mod 4 ; ok ; queue to symhash mod 4 ; {"expr": [{"queue": {"num": {"symhash": {"mod": 4}}}}]}
tproxy ip to 127.0.0.1:50080 ; ok ; tproxy ip to 127.0.0.1:50080 ; {"expr": [{"tproxy": {"family": "ip", "addr": "127.0.0.1", "port": 50080}}]}
synproxy mss 1460 wscale 7 timestamp sack-perm ; ok ; synproxy mss 1460 wscale 7 timestamp sack-perm ; {"expr": [{"synproxy": {"mss": 1460, "wscale": 7, "flags": ["timestamp", "sack-perm"]}}]}
synproxy name "sp" ; ok ; synproxy name "sp" ; {"expr": [{"synproxy": "sp"}]}
synproxy ; ok ; synproxy ; {"expr": [{"synproxy": null}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='reset', text="{'reset': {'tcp option': {'name': 'sack'}}}")) ; {"expr": [{"reset": {"tcp option": {"name": "sack"}}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='secmark', text="{'secmark': 's'}")) ; {"expr": [{"secmark": "s"}]}
flow add @f ; ok ; flow add @f ; {"expr": [{"flow": {"op": "add", "flowtable": "@f"}}]}
last ; ok ; last ; {"expr": [{"last": null}]}
last ; ok ; last ; {"expr": [{"last": {"used": "1s"}}]}
counter name "c" ; ok ; counter name "c" ; {"expr": [{"counter": "c"}]}
log prefix "x" group 2 ; ok ; log prefix "x" group 2 ; {"expr": [{"log": {"group": 2, "prefix": "x"}}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='xt recent', text="{'xt': {'type': 'match', 'name': 'recent'}}")) ; {"expr": [{"xt": {"type": "match", "name": "recent"}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='xt TTL', text="{'xt': {'type': 'target', 'name': 'TTL'}}")) ; {"expr": [{"xt": {"type": "target", "name": "TTL"}}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='xt match or target', text="{'xt': {'name': 'match or target'}}")) ; {"expr": [{"xt": null}]}
tcp option maxseg size set rt mtu ; ok ; meta l4proto 6 tcp option maxseg size set rt mtu ; {"expr": [{"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}]}
ct label set gold ; ok ; ct label set gold ; {"expr": [{"mangle": {"key": {"ct": {"key": "label"}}, "value": "gold"}}]}
ct event set new,destroy ; ok ; ct event set new,destroy ; {"expr": [{"mangle": {"key": {"ct": {"key": "event"}}, "value": ["new", "destroy"]}}]}
ct secmark set meta secmark ; ok ; ct secmark set meta secmark ; {"expr": [{"mangle": {"key": {"ct": {"key": "secmark"}}, "value": {"meta": {"key": "secmark"}}}}]}
dst nexthdr set 5 ; ok ; meta nfproto ipv6 dst nexthdr set 5 ; {"expr": [{"mangle": {"key": {"exthdr": {"name": "dst", "field": "nexthdr"}}, "value": 5}}]}
ip saddr set 192.0.2.1 ; ok ; meta nfproto ipv4 ip saddr set 192.0.2.1 ; {"expr": [{"mangle": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "value": "192.0.2.1"}}]}
meta broute set 1 ; ok ; meta broute set 1 ; {"expr": [{"mangle": {"key": {"meta": {"key": "broute"}}, "value": 1}}]}
meta cpu set 1 ; ok ; meta cpu set 1 ; {"expr": [{"mangle": {"key": {"meta": {"key": "cpu"}}, "value": 1}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='newexpr', text="{'mangle': {'key': {'newexpr': {'key': 'x'}}, 'value': 1}}")) ; {"expr": [{"mangle": {"key": {"newexpr": {"key": "x"}}, "value": 1}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='newstmt', text="{'newstmt': {'a': 1}}")) ; {"expr": [{"newstmt": {"a": 1}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='newstmt', text="{'newstmt': None}")) ; {"expr": [{"newstmt": null}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='newstmt', text="{'newstmt': 'name'}")) ; {"expr": [{"newstmt": "name"}]}
- ; ok ; (no nft rule says OpaqueMatch(kind='newexpr', text="{'match': {'left': {'newexpr': {}}, 'op': '==', 'right': 1}}")) ; {"expr": [{"vmap": {"key": {"newexpr": {}}, "data": {"set": [[1, {"accept": null}]]}}}]}
- ; ok ; (no nft rule says OpaqueStatement(kind='newverdict', text="{'newverdict': None}")) ; {"expr": [{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, {"newverdict": null}]]}}}]}
jhash ip saddr mod 2 vmap { 0 : jump user, 1 : accept } ; ok ; meta nfproto ipv4 jhash ip saddr mod 2 0 jump user || meta nfproto ipv4 jhash ip saddr mod 2 != 0 accept ; {"expr": [{"vmap": {"key": {"jhash": {"mod": 2, "expr": {"payload": {"protocol": "ip", "field": "saddr"}}}}, "data": {"set": [[0, {"jump": {"target": "user"}}], [1, {"accept": null}]]}}}]}
meta mark like 5 drop ; ok ; meta mark like 5 drop ; {"expr": [{"match": {"op": "like", "left": {"meta": {"key": "mark"}}, "right": 5}}, {"drop": null}]}
reject with newtype ; ok ; reject with newtype ; {"expr": [{"reject": {"type": "newtype"}}]}
