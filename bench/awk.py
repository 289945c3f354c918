"""What the peers do in awk: a count of ports and states, and all that our census counts."""

from __future__ import annotations

COUNT = r"""
{ key = $3; for (i = 5; i <= 8; i++) if ($i ~ /^dport=/) { split($i, d, "="); key = key "/" d[2]; break }
  n[key " " ($3 == "tcp" ? $6 : "")]++ }
END { for (k in n) print k, n[k] }
"""
"""Ports and states of /proc/net/nf_conntrack."""

LISTING = COUNT.replace("$3", "$1").replace("$6", "$4").replace("i = 5; i <= 8", "i = 4; i <= 8")
"""The same of `conntrack -L`."""

CENSUS = r"""
BEGIN { ours["192.168.0.18"] = ours["127.0.0.1"] = ours["2001:0db8:0000:0000:0000:0000:0000:0018"] = 1 }
{ at = ($3 == "tcp") ? 7 : 6; split($at, s, "="); split($(at+3), d, "="); split($(at+1), t, "=")
  un = ($(at+4) == "[UNREPLIED]"); split($(at+4+un), r, "=")
  from = (s[2] in ours); to = (r[2] in ours)
  dir = from ? (to ? "loopback" : "outbound") : (to ? "inbound" : "forwarded")
  service = dir " " $3 "/" d[2]; far = from ? r[2] : s[2]
  entries[service " " ($3 == "tcp" ? $6 : "") " " un]++; peers[far]++
  if (!((service, far) in seen)) { seen[service, far] = 1; ends[service]++ }
  for (i = NF; i > NF - 4; i--) if ($i ~ /^zone=/) zones[$i]++ }
END { for (k in entries) print k, entries[k]; for (k in zones) print k, zones[k]; for (k in ends) print k, ends[k]
      for (k in peers) if (peers[k] > top) top = peers[k]; print top }
"""
"""What our census counts: services by direction, states, unreplied, zones, far ends by service, the largest peer."""
