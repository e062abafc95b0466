"""The Lua scripts of the Redis journal: each is one atomic step, and takes its times from the server.

Keys, all of one hash slot for one workflow (`p` is `{dy:<partition>}:<namespace>`, `w` is `p:<digest of the id>`, and
`i` its incarnation):

    w:h     hash    incarnation, id, digest, definition, name, tags, created; when closed: closed, state;
                    snapshot_at, snapshot_nonce, snapshot
    w:i:e   list    one entry each: nonce, time, observation, as a JSON array
    w:i:c   hash    calls by node number; where they take several calls, expiring until the last
    w:i:r   hash    results by attempt
    w:i:m   hash    marks by attempt: sent count, times (0 for never), worker, boot, as a JSON array
    w:i:n   hash    annotations by name
    p:due       sorted set of what is open, by due time; a member is an id behind its incarnation
    p:created   sorted set of all, by time of creation, negative, so that newest is first; a member is an id
    p:closed    sorted set of what is closed, by the time of that; members as in `due`
    p:wake:<digest>    channel: the length after an append, 0 for the deletion
    {dy}:<namespace>:leases    hash by worker and boot: lease, renewed, expires, the one before, as a JSON array

Only KEYS and ARGV are ever put into commands, never into the text of a script. `unpack` is kept to what is short:
its limit is some thousand values. The first command that writes is one that a full server refuses, wherever the
script takes up memory: after the first none is refused, so a script is done whole or not at all.
Messages are sent by `pcall`: a user who may not send them can append all the same.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ANNOTATE",
    "APPEND",
    "CALLS",
    "CLAIM",
    "CLOSE",
    "CREATE",
    "DELETE",
    "DUE",
    "KEEP",
    "LEASE",
    "LEASES",
    "MARK",
    "OLD",
    "PLACES",
    "PURGE",
    "REMIND",
    "REST",
]

_NOW: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

_KNOWN: Final = """
if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then return {'unknown'} end
"""

# KEYS h c  ARGV expire, then (number call) ...; gives 0 if the id is taken
CALLS: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""

# KEYS h e c due created
# ARGV incarnation id digest definition name tags nonce begin member due_in number_of_calls, then (number call) ...
# Gives what is stored now; no time if the calls before these are not there, since they expired, or the id was taken
# when they were to be written.
CREATE: Final = (
    _NOW
    + """
local stored = redis.call('HMGET', KEYS[1], 'incarnation', 'digest', 'created')
if stored[1] then
    if stored[1] ~= ARGV[1] then redis.call('DEL', KEYS[3]) end
    return stored
end
if redis.call('HLEN', KEYS[3]) + (#ARGV - 11) / 2 ~= tonumber(ARGV[11]) then return {ARGV[1], ARGV[3], false} end
for i = 12, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'id', ARGV[2], 'digest', ARGV[3], 'definition', ARGV[4],
    'name', ARGV[5], 'tags', ARGV[6], 'created', now)
redis.call('RPUSH', KEYS[2], cjson.encode({ARGV[7], now, ARGV[8]}))
redis.call('ZADD', KEYS[4], now + ARGV[10], ARGV[9])
redis.call('ZADD', KEYS[5], -now, ARGV[2])
redis.call('PERSIST', KEYS[3])
return {ARGV[1], ARGV[3], now}
"""
)

# KEYS h e r due closed wake c
# ARGV incarnation member seen_position seen_nonce nonce number_of_observations number_of_calls, then the observations,
# the numbers of the calls that are wanted, and (attempt result) ...
# A workflow without `Begin` is none: its entries were evicted, and no position may be given twice.
APPEND: Final = (
    _KNOWN
    + _NOW
    + """
local seen = tonumber(ARGV[3])
local before = redis.call('LLEN', KEYS[2])
if before == 0 then return {'unknown'} end
local diverged = seen > before
if seen > 0 and not diverged then
    diverged = cjson.decode(redis.call('LINDEX', KEYS[2], seen - 1))[1] ~= ARGV[4]
end
local missed = {}
if not diverged and before > seen then missed = redis.call('LRANGE', KEYS[2], seen, before - 1) end
local count = tonumber(ARGV[6])
for i = 8, 7 + count do
    redis.call('RPUSH', KEYS[2], cjson.encode({ARGV[5], now, ARGV[i]}))
end
local wanted = 7 + count + tonumber(ARGV[7])
for i = wanted + 1, #ARGV, 2 do
    redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 1])
end
if redis.call('HDEL', KEYS[1], 'closed', 'state') > 0 then
    redis.call('ZADD', KEYS[4], now, ARGV[2])
    redis.call('ZREM', KEYS[5], ARGV[2])
end
redis.pcall('PUBLISH', KEYS[6], before + count)
local calls = {}
for i = 8 + count, wanted do calls[#calls + 1] = redis.call('HGET', KEYS[7], ARGV[i]) end
return {'ok', before + 1, now, diverged and 1 or 0, missed, calls}
"""
)

# KEYS h  ARGV incarnation position nonce data
KEEP: Final = (
    _KNOWN
    + """
local at = redis.call('HGET', KEYS[1], 'snapshot_at')
if not at or tonumber(at) < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], 'snapshot_at', ARGV[2], 'snapshot_nonce', ARGV[3], 'snapshot', ARGV[4])
end
return {'ok'}
"""
)

# KEYS h m  ARGV incarnation, then (attempt kind worker boot) ...
MARK: Final = (
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'incarnation') ~= ARGV[1] then return now end
for i = 2, #ARGV, 4 do
    local text = redis.call('HGET', KEYS[2], ARGV[i])
    local mark = text and cjson.decode(text) or {0, 0, 0, '', ''}
    if ARGV[i + 1] == 'sent' then
        mark[1] = mark[1] + 1
        mark[2] = now
    elseif ARGV[i + 1] == 'started' then
        mark[3] = now
        mark[4] = ARGV[i + 2]
        mark[5] = ARGV[i + 3]
    else
        mark[3] = 0
        mark[4] = ''
        mark[5] = ''
    end
    redis.call('HSET', KEYS[2], ARGV[i], cjson.encode(mark))
end
return now
"""
)

# KEYS due of every partition  ARGV limit claim; gives the time, then the members that it claimed
# While nothing is open anywhere, there are no keys, and one command finds that out.
DUE: Final = (
    _NOW
    + """
local claimed = {now}
if redis.call('EXISTS', unpack(KEYS)) == 0 then return claimed end
local overdue = {}
for place = 1, #KEYS do
    local found = redis.call('ZRANGEBYSCORE', KEYS[place], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
    for i = 1, #found, 2 do overdue[#overdue + 1] = {tonumber(found[i + 1]), place, found[i]} end
end
table.sort(overdue, function(one, other) return one[1] < other[1] end)
for i = 1, math.min(ARGV[1], #overdue) do
    redis.call('ZADD', KEYS[overdue[i][2]], now + ARGV[2], overdue[i][3])
    claimed[#claimed + 1] = overdue[i][3]
end
return claimed
"""
)

# KEYS due or closed, of any partitions  ARGV age limit; gives by key the members, with times, that are so old
OLD: Final = (
    _NOW
    + """
local old = {}
for place = 1, #KEYS do
    old[place] = redis.call('ZRANGEBYSCORE', KEYS[place], '-inf', now - ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
end
return old
"""
)

# KEYS due  ARGV claim, then members; gives those that still are due, and so were claimed
CLAIM: Final = (
    _NOW
    + """
local claimed = {now}
for i = 2, #ARGV do
    local due = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if due and tonumber(due) <= now then
        redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
        claimed[#claimed + 1] = ARGV[i]
    end
end
return claimed
"""
)

# A workflow of a release that kept no lists is told by having no name; what that closed, in a state that it did not
# tell, comes into lists when it is opened again. KEYS h . created
_LISTED: Final = """
local head = redis.call('HMGET', KEYS[1], 'name', 'created', 'id', 'closed', 'state')
if not head[1] and (head[5] or not head[4]) then
    redis.call('ZADD', KEYS[3], -head[2], head[3])
    redis.call('HSET', KEYS[1], 'name', '', 'tags', '[]')
end
"""

# KEYS h due created  ARGV incarnation member in_ms
REST: Final = (
    _KNOWN
    + _NOW
    + _LISTED
    + """
redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[2])
return {'ok'}
"""
)

# KEYS h due  ARGV incarnation member in_ms
REMIND: Final = (
    _KNOWN
    + _NOW
    + """
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if due and tonumber(due) > now + ARGV[3] then redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2]) end
return {'ok'}
"""
)

# KEYS h due created closed e  ARGV incarnation member at state
CLOSE: Final = (
    _KNOWN
    + _NOW
    + """
if redis.call('HEXISTS', KEYS[1], 'state') == 1 then return {'ok', 1} end
if redis.call('LLEN', KEYS[5]) ~= tonumber(ARGV[3]) then
    return {'ok', redis.call('HEXISTS', KEYS[1], 'closed')}
end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[4], now, ARGV[2])
redis.call('HSET', KEYS[1], 'closed', now, 'state', ARGV[4])
"""
    + _LISTED
    + """
return {'ok', 1}
"""
)

# KEYS due created closed wake, then h e c r m n  ARGV incarnation id member
_REMOVE: Final = """
redis.call('ZREM', KEYS[1], ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[3])
for i = 5, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.pcall('PUBLISH', KEYS[4], 0)
return 1
"""

# As REMOVE, then at or nothing; gives 0 if the last entry is elsewhere
DELETE: Final = (
    """
if redis.call('HGET', KEYS[5], 'incarnation') ~= ARGV[1] then return 1 end
if ARGV[4] ~= '' and redis.call('LLEN', KEYS[6]) ~= tonumber(ARGV[4]) then return 0 end
"""
    + _REMOVE
)

# As REMOVE, then closed_for
PURGE: Final = (
    _NOW
    + """
local head = redis.call('HMGET', KEYS[5], 'incarnation', 'closed')
if head[1] ~= ARGV[1] or not head[2] then
    redis.call('ZREM', KEYS[3], ARGV[3])
    return 0
end
if tonumber(head[2]) > now - ARGV[4] then return 0 end
"""
    + _REMOVE
)

# KEYS created of any partitions  ARGV after lowest highest limit; gives by key the members, with negative times of
# creation, of the very millisecond `after`, and from `lowest` to `highest`
PLACES: Final = """
local places = {}
for place = 1, #KEYS do
    places[place] = {
        redis.call('ZRANGEBYSCORE', KEYS[place], ARGV[1], ARGV[1], 'WITHSCORES'),
        redis.call('ZRANGEBYSCORE', KEYS[place], ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4]),
    }
end
return places
"""

# KEYS h n  ARGV incarnation, then (name text) ..., no text removes
ANNOTATE: Final = (
    _KNOWN
    + """
for i = 2, #ARGV, 2 do
    if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[i])
    else redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
return {'ok'}
"""
)

# KEYS leases  ARGV name ttl lease day; the key lives until its last lease has been over for a day
LEASE: Final = (
    _NOW
    + """
local text = redis.call('HGET', KEYS[1], ARGV[1])
local before = text and cjson.decode(text) or nil
local previous = before and {before[1], before[2]} or cjson.null
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode({ARGV[3], now, now + ARGV[2], previous}))
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), ARGV[2] + ARGV[4]))
return now
"""
)

# KEYS leases  ARGV day; drops leases that have been over for so long
LEASES: Final = (
    _NOW
    + """
local stored = redis.call('HGETALL', KEYS[1])
local kept = {}
for i = 1, #stored, 2 do
    if cjson.decode(stored[i + 1])[3] < now - ARGV[1] then
        redis.call('HDEL', KEYS[1], stored[i])
    else
        kept[#kept + 1] = stored[i]
        kept[#kept + 1] = stored[i + 1]
    end
end
return {now, kept}
"""
)
