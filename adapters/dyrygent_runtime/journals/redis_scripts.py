"""The Lua scripts of the Redis journal: each is one atomic step, and takes its times from the server.

Keys, all of one hash slot for one workflow (`p` is `{dy:<partition>}:<namespace>:<digest of the id>`, and `i` its
incarnation):

    p:h     hash    incarnation, id, digest, definition, created, closed
    p:i:e   list    one entry each: nonce, time, observation, as a JSON array
    p:i:c   hash    calls by node number; written before the rest, and expiring until then
    p:i:r   hash    results by attempt
    p:i:m   hash    marks by attempt: sent count, times (0 for never), worker, boot, as a JSON array
    p:i:n   hash    annotations by name
    {dy:<partition>}:<namespace>:due    sorted set by due time; a member is an id behind its incarnation
    {dy:<partition>}:<namespace>:wake:<digest>    channel: something was appended
    {dy}:<namespace>:leases    hash by worker and boot: lease, renewed, expires, the one before, as a JSON array

Only KEYS and ARGV are ever put into commands, never into the text of a script.
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
    "LEASE",
    "LEASES",
    "MARK",
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

# KEYS h e due c  ARGV incarnation id digest definition nonce begin member due_in number_of_calls
# Gives what is stored now; no time if the calls are not there, since the id was taken when they were to be written.
CREATE: Final = (
    _NOW
    + """
local stored = redis.call('HMGET', KEYS[1], 'incarnation', 'digest', 'created')
if stored[1] then
    if stored[1] ~= ARGV[1] then redis.call('DEL', KEYS[4]) end
    return stored
end
if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[9]) then return {ARGV[1], ARGV[3], false} end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'id', ARGV[2], 'digest', ARGV[3], 'definition', ARGV[4],
    'created', now)
redis.call('RPUSH', KEYS[2], cjson.encode({ARGV[5], now, ARGV[6]}))
redis.call('PERSIST', KEYS[4])
redis.call('ZADD', KEYS[3], now + ARGV[8], ARGV[7])
return {ARGV[1], ARGV[3], now}
"""
)

# KEYS h e r due wake  ARGV incarnation member seen_position seen_nonce nonce observations results (key value ...)
APPEND: Final = (
    _KNOWN
    + _NOW
    + """
local seen = tonumber(ARGV[3])
local before = redis.call('LLEN', KEYS[2])
local diverged = seen > before
if seen > 0 and not diverged then
    diverged = cjson.decode(redis.call('LINDEX', KEYS[2], seen - 1))[1] ~= ARGV[4]
end
local missed = {}
if not diverged and before > seen then missed = redis.call('LRANGE', KEYS[2], seen, before - 1) end
local count = tonumber(ARGV[6])
for i = 7, 6 + count do
    redis.call('RPUSH', KEYS[2], cjson.encode({ARGV[5], now, ARGV[i]}))
end
for i = 7 + count, #ARGV, 2 do
    redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 1])
end
if redis.call('HDEL', KEYS[1], 'closed') == 1 then redis.call('ZADD', KEYS[4], now, ARGV[2]) end
redis.call('PUBLISH', KEYS[5], before + count)
return {'ok', before + 1, now, diverged and 1 or 0, missed}
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

# KEYS due  ARGV limit; gives members and due times
DUE: Final = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
"""
)

# KEYS due  ARGV claim, then members; gives those that still are due, and so were claimed
CLAIM: Final = (
    _NOW
    + """
local claimed = {}
for i = 2, #ARGV do
    local due = redis.call('ZSCORE', KEYS[1], ARGV[i])
    if due and tonumber(due) <= now then
        redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
        claimed[#claimed + 1] = ARGV[i]
    end
end
return {now, claimed}
"""
)

# KEYS h due  ARGV incarnation member in_ms
REST: Final = (
    _KNOWN
    + _NOW
    + """
redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[2])
return {'ok'}
"""
)

REMIND: Final = (
    _KNOWN
    + _NOW
    + """
local due = redis.call('ZSCORE', KEYS[2], ARGV[2])
if due and tonumber(due) > now + ARGV[3] then redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[2]) end
return {'ok'}
"""
)

# KEYS h e due  ARGV incarnation member at
CLOSE: Final = (
    _KNOWN
    + """
if redis.call('LLEN', KEYS[2]) == tonumber(ARGV[3]) then
    redis.call('ZREM', KEYS[3], ARGV[2])
    redis.call('HSET', KEYS[1], 'closed', 1)
end
return {'ok', redis.call('HEXISTS', KEYS[1], 'closed')}
"""
)

# KEYS due wake h e c r m n  ARGV incarnation member
DELETE: Final = """
if redis.call('HGET', KEYS[3], 'incarnation') ~= ARGV[1] then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.call('PUBLISH', KEYS[2], 0)
return 1
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
