// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

// What the server has to do at once, on its own clock. Each script is sent whole, with EVAL: it runs
// seldom, and so nobody has to look after scripts that a server has forgotten.
//
// Ownership: the hash `owners` maps each shard to "fence:member"; the fence counts take-overs, so that no
// value comes twice. An owner is alive while its member's lease in the sorted set `members` lasts.
// A server whose memory is full lets a script write only behind a command that may free some: where a
// group must go on, which is what frees memory, such a command stands first.
// Whatever an owner does, it does only while the hash still holds its value.

namespace omnibus::redis::scripts {

/// Holds a message back. KEYS delayed bodies; ARGV delay in microseconds, stream, bound, fields ...
inline constexpr std::string_view delay = R"lua(
local t = redis.call('TIME')
local due = t[1] * 1000000 + t[2] + ARGV[1]
local n = redis.call('HINCRBY', KEYS[2], 'count', 1)
local id = string.format('%016x', n)
redis.call('HSET', KEYS[2], id, cmsgpack.pack(ARGV))
redis.call('ZADD', KEYS[1], string.format('%.0f', due), id)
return n
)lua";

/// Puts what is due where it belongs. KEYS delayed bodies streams...; ARGV how many at most. Returns the
/// microseconds until something more is due, or -1.
inline constexpr std::string_view move = R"lua(
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  local body = redis.call('HGET', KEYS[2], id)
  if body then
    local a = cmsgpack.unpack(body)
    local command = {'XADD', a[2]}
    if a[3] ~= '0' then
      command[3], command[4], command[5] = 'MAXLEN', '~', a[3]
    end
    command[#command + 1] = '*'
    for i = 4, #a do command[#command + 1] = a[i] end
    redis.call(unpack(command))
  end
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #first == 0 then return -1 end
return math.max(0, first[2] - now)
)lua";

/// Stores messages, all of them or none. KEYS streams...; ARGV bound, then for each message the number of its
/// stream, how many arguments its fields are, and these. Returns their ids. What can be known to fail is looked
/// at before the first is stored; what was stored before one that fails is taken out before anybody reads it.
inline constexpr std::string_view several = R"lua(
for _, key in ipairs(KEYS) do
  local kind = redis.pcall('TYPE', key)
  if kind.err then return kind end
  if kind.ok ~= 'none' and kind.ok ~= 'stream' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind.ok)
  end
end
local out, keys, at = {}, {}, 2
while at < #ARGV do
  local key, last = KEYS[tonumber(ARGV[at])], at + 1 + ARGV[at + 1]
  local command = {'XADD', key}
  if ARGV[1] ~= '0' then
    command[3], command[4], command[5] = 'MAXLEN', '~', ARGV[1]
  end
  command[#command + 1] = '*'
  for i = at + 2, last do command[#command + 1] = ARGV[i] end
  local id = redis.pcall(unpack(command))
  if type(id) == 'table' then
    for i = 1, #out do redis.pcall('XDEL', keys[i], out[i]) end
    return id
  end
  out[#out + 1], keys[#keys + 1] = id, key
  at = last + 1
end
return out
)lua";

/// Enters a group. KEYS owners members shards streams...; ARGV number of shards or '', group, member,
/// who it was before, with blanks between, then for each stream where the group begins. Returns the number
/// of shards that the topic has, and, where that is the right one, for how many the group had to be made.
inline constexpr std::string_view join = R"lua(
redis.call('ZREM', KEYS[2], '')
if ARGV[1] ~= '' then
  local n = redis.call('GET', KEYS[3])
  if not n then
    redis.call('SET', KEYS[3], ARGV[1])
  elseif n ~= ARGV[1] then
    return tonumber(n) or -1
  end
end
local made = 0
for k = 4, #KEYS do
  local reply = redis.pcall('XGROUP', 'CREATE', KEYS[k], ARGV[2], ARGV[k + 1], 'MKSTREAM')
  if not reply.err then
    made = made + 1
  elseif not string.find(reply.err, 'BUSYGROUP') then
    return reply
  end
end
for member in string.gmatch(ARGV[4], '%S+') do redis.call('ZREM', KEYS[2], member) end
return {#KEYS - 3, made}
)lua";

/// Renews a member's lease and takes what is free, up to its share. KEYS owners members; ARGV member,
/// lease in milliseconds, number of shards, 1 to take shards. Returns how many members there are, the
/// share, and the owner of each shard.
inline constexpr std::string_view tend = R"lua(
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local me = ARGV[1]
local shards = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%.0f', now))
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), me)
local members = redis.call('ZRANGE', KEYS[2], 0, -1)
table.sort(members)
local alive, rank = {}, 0
for i, member in ipairs(members) do
  alive[member] = true
  if member == me then rank = i - 1 end
end
local share = math.floor(shards / #members)
if rank < shards % #members then share = share + 1 end
local owners, mine = {}, 0
for k = 0, shards - 1 do
  local owner = redis.call('HGET', KEYS[1], k) or ''
  local member = string.match(owner, ':(.*)$')
  if member == me then
    mine = mine + 1
  elseif not alive[member] then
    owner = ''
  end
  owners[k + 1] = owner
end
for k = 1, shards do
  if owners[k] == '' and mine < share and ARGV[4] == '1' then
    owners[k] = redis.call('HINCRBY', KEYS[1], 'fence', 1) .. ':' .. me
    redis.call('HSET', KEYS[1], k - 1, owners[k])
    mine = mine + 1
  end
end
return {#members, share, unpack(owners)}
)lua";

/// Reads again what the shard's owners have read and not finished, in order. KEYS owners stream later;
/// ARGV shard, owner, group, consumer, after which id, how many at most, then ids to give up. Returns
/// where it stopped or '', the last id of the group, microseconds until something of `later` is due or
/// -1, the number of entries that are gone, and entries: id, deliveries before, fields.
inline constexpr std::string_view recover = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
local group, consumer = ARGV[3], ARGV[4]
for i = 7, #ARGV do
  redis.call('XACK', KEYS[2], group, ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
end
local from = '-'
if ARGV[5] ~= '' then from = '(' .. ARGV[5] end
local pending = redis.call('XPENDING', KEYS[2], group, from, '+', ARGV[6], consumer)
local last, gone = '', 0
local out = {'', '', -1, 0}
for _, p in ipairs(pending) do
  last = p[1]
  if not redis.call('ZSCORE', KEYS[3], p[1]) then
    local got = redis.call('XCLAIM', KEYS[2], group, consumer, 0, p[1], 'RETRYCOUNT', p[4] + 1)
    if got[1] then
      out[#out + 1] = {p[1], p[4], got[1][2]}
    else
      gone = gone + 1
      redis.call('XACK', KEYS[2], group, p[1])
    end
  end
end
if #pending == tonumber(ARGV[6]) then out[1] = last end
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  local named = false
  for i = 1, #info, 2 do
    if info[i] == 'name' and info[i + 1] == group then named = true end
    if info[i] == 'last-delivered-id' and named then out[2] = info[i + 1] end
  end
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if #first > 0 then
  local t = redis.call('TIME')
  out[3] = math.max(0, first[2] - (t[1] * 1000000 + t[2]))
end
out[4] = gone
return out
)lua";

/// Entries are to be delivered again later: they stay pending. KEYS owners stream later; ARGV shard,
/// owner, group, consumer, then for each its id, delay in microseconds, and attempts so far. Returns
/// microseconds until something is due.
inline constexpr std::string_view later = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
for i = 5, #ARGV, 3 do
  redis.call('XCLAIM', KEYS[2], ARGV[3], ARGV[4], 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 2], 'JUSTID')
  redis.call('ZADD', KEYS[3], string.format('%.0f', now + ARGV[i + 1]), ARGV[i])
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
return math.max(0, first[2] - now)
)lua";

/// Takes what is due again. KEYS owners stream later; ARGV shard, owner, group, consumer, how many at
/// most. Returns like `recover`.
inline constexpr std::string_view again = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local ids = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[5])
local out = {'', '', -1, 0}
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[3], id)
  local p = redis.call('XPENDING', KEYS[2], ARGV[3], id, id, 1)[1]
  if p then
    local got = redis.call('XCLAIM', KEYS[2], ARGV[3], ARGV[4], 0, id, 'RETRYCOUNT', p[4] + 1)
    if got[1] then
      out[#out + 1] = {id, p[4], got[1][2]}
    else
      out[4] = out[4] + 1
      redis.call('XACK', KEYS[2], ARGV[3], id)
    end
  end
end
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if #first > 0 then out[3] = math.max(0, first[2] - now) end
return out
)lua";

/// Acknowledges and reads, for a server that takes no transaction because its memory is full. KEYS owners
/// stream; ARGV shard, owner, group, consumer, how many at most, then ids that are done. Returns like
/// `recover`.
inline constexpr std::string_view take = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
for i = 6, #ARGV do redis.call('XACK', KEYS[2], ARGV[3], ARGV[i]) end
local out = {'', '', -1, 0}
if ARGV[5] == '0' then return out end
local read = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[4], 'COUNT', ARGV[5], 'STREAMS', KEYS[2], '>')
if not read then return out end
for _, entry in ipairs(read[1][2]) do out[#out + 1] = {entry[1], 0, entry[2]} end
return out
)lua";

/// Gives a shard up, after a last word on its entries. KEYS owners stream; ARGV shard, owner, group,
/// consumer, how many are done, their ids, then for each that was given back its id and attempts so far.
/// Returns false when it was not ours any more.
inline constexpr std::string_view give = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
local done = tonumber(ARGV[5])
for i = 6, 5 + done do redis.call('XACK', KEYS[2], ARGV[3], ARGV[i]) end
for i = 6 + done, #ARGV, 2 do
  redis.call('XCLAIM', KEYS[2], ARGV[3], ARGV[4], 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
)lua";

/// Removes what every group has finished. KEYS owners stream; ARGV shard, owner. Returns how many entries.
inline constexpr std::string_view trim = R"lua(
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return false end
local function less(a, b)
  local am, an = string.match(a, '(%d+)-(%d+)')
  local bm, bn = string.match(b, '(%d+)-(%d+)')
  if am ~= bm then return tonumber(am) < tonumber(bm) end
  return tonumber(an) < tonumber(bn)
end
local first
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[2])) do
  local g = {}
  for i = 1, #info, 2 do g[info[i]] = info[i + 1] end
  local open = g['last-delivered-id']
  if g['pending'] > 0 then open = redis.call('XPENDING', KEYS[2], g['name'])[2] end
  if not first or less(open, first) then first = open end
end
if not first then return 0 end
return redis.call('XTRIM', KEYS[2], 'MINID', '~', first)
)lua";

/// Looks for entries that were dropped before a group read them, which Redis tells from 7.0 on. KEYS
/// stream; ARGV group. Returns how many entries have been removed, and how many of them the group has not
/// read.
inline constexpr std::string_view look = R"lua(
local function fields(list)
  local out = {}
  for i = 1, #list, 2 do out[list[i]] = list[i + 1] end
  return out
end
local stream = fields(redis.call('XINFO', 'STREAM', KEYS[1]))
local removed = (stream['entries-added'] or stream['length']) - stream['length']
for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local g = fields(info)
  if g['name'] == ARGV[1] then
    local read = g['entries-read']
    if not read then read = g['last-delivered-id'] == '0-0' and 0 or removed end
    return {removed, math.max(0, removed - read)}
  end
end
return {removed, 0}
)lua";

}  // namespace omnibus::redis::scripts
