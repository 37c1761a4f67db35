// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

// What all that is asked of the script begins with.

namespace omnibus::event_store::redis {

/// Reads what every question begins with, sees to it that the store is whole and the one that the caller knows, and
/// has what the operations share: states, events as bytes, and walks along what a query may mean.
inline constexpr std::string_view script_frame = R"lua(
local call, sub, match, pack, read = redis.call, string.sub, string.match, struct.pack, struct.unpack
local about = KEYS[1]
local events, ids, streams = about .. ':events', about .. ':ids', about .. ':streams'
local index, checkpoints = about .. ':index', about .. ':checkpoints'

local at = 0
local function take() at = at + 1; return ARGV[at] end
local function number() return tonumber(take()) end
local function digits(n) return string.format('%.0f', n) end

local known, seen, last, fresh = take(), number(), take(), take()
local a = call('HMGET', about, 'format', 'history', 'head', 'last', 'events', 'streams', 'index', 'checkpoints')
local head, kept, named = tonumber(a[3] or 0), tonumber(a[5] or 0), tonumber(a[6] or 0)
local entries, followers = tonumber(a[7] or 0), tonumber(a[8] or 0)
local history = a[2] or ''

local function damaged(what) return {err = 'DAMAGED ' .. what} end
local function check()
  if a[1] and a[1] ~= '1' then return {err = 'FORMAT ' .. a[1]} end
  for key, count in pairs({[events] = kept, [ids] = head, [streams] = named, [checkpoints] = followers}) do
    local is = call('HLEN', key)
    if is ~= count then return damaged(key .. ' has ' .. is .. ' entries and not ' .. digits(count)) end
  end
  local is = call('ZCARD', index)
  if is ~= entries then return damaged(index .. ' has ' .. is .. ' entries and not ' .. digits(entries)) end
  if known ~= history and known ~= '' then
    return {err = history == '' and 'LOST the store is not there any more' or 'LOST the store was made anew'}
  end
  if seen > 0 then
    local it = call('HGET', ids, last)
    if not it or match(it, '^%d+ (%d+) ') ~= digits(seen) then
      if head >= seen then
        return {err = 'LOST another event than the one that was known stands at position ' .. digits(seen)}
      end
      return {err = 'LOST it ends at position ' .. digits(head) .. ', and was known up to ' .. digits(seen)}
    end
  end
  if not a[1] and fresh == '' then return {err = 'NOSTORE'} end
end
local wrong = check()
if wrong then return wrong end

local out, size, changed = {}, 3, false
local function say(value) size = size + 1; out[size] = value end
local function answer()
  out[1], out[2], out[3] = history, head, a[4] or ''
  return out
end
local function save()
  if not a[1] then call('HSET', about, 'format', '1', 'history', history) end
  call('HSET', about, 'head', digits(head), 'last', a[4] or '', 'events', digits(kept), 'streams', digits(named),
       'index', digits(entries), 'checkpoints', digits(followers))
end
-- Of whoever has written: a store that was not there gets its history now.
local function has_written()
  changed = true
  if history == '' then history = fresh end
end

-- Calls a command on a key with so many arguments that they are passed in parts. Returns the sum of the answers.
local function put(command, key, list)
  local sum = 0
  for i = 1, #list, 1000 do
    local answered = call(command, key, unpack(list, i, math.min(i + 999, #list)))
    if type(answered) == 'number' then sum = sum + answered end
  end
  return sum
end

local function state_of(name)
  local text = call('HGET', streams, name)
  if not text then return '', 0, 1, 0 end
  local kind, version, first, deleted = match(text, '^(%a) (%d+) (%d+) (%d+)$')
  return kind, tonumber(version), tonumber(first), tonumber(deleted), text
end
local function list_of(name) return about .. ':of:' .. name end
local function is_cut(name, version, first)
  local is, count = call('LLEN', list_of(name)), version + 1 - first
  return is ~= count and damaged(list_of(name) .. ' has ' .. is .. ' entries and not ' .. digits(count))
end
local function snapshots_of(name) return about .. ':snapshots:' .. name end

-- Of an event as it is stored: version, sizes, time, type, stream, id, tags and the rest.
local function type_and_stream(event)
  local types, names = read('<I4I4', event, 9)
  return sub(event, 37, 36 + types), sub(event, 37 + types, 36 + types + names)
end
local function tags_of(event)
  local types, names, name, bytes = read('<I4I4I4I4', event, 9)
  local begin = 37 + types + names + name
  local tags, stop = {}, begin + bytes
  while begin < stop do
    local count = read('<I4', event, begin)
    tags[#tags + 1] = sub(event, begin + 4, begin + 3 + count)
    begin = begin + 4 + count
  end
  return tags
end
local function category_of(stream) return match(stream, '^[^-]*') end
local function label(kind, name) return kind .. pack('>I4', #name) .. name end
local function place(n) return pack('>I8', n) end

local function each_label(event, call_with)
  local _, stream = type_and_stream(event)
  call_with(label('c', category_of(stream)))
  for _, tag in ipairs(tags_of(event)) do call_with(label('t', tag)) end
end

local function take_query()
  local query = {}
  for i = 1, number() do
    local filter = {types = {}, tags = {}}
    local count = number()
    filter.any = count == 0
    for _ = 1, count do filter.types[take()] = true end
    for j = 1, number() do filter.tags[j] = take() end
    query[i] = filter
  end
  return query
end
local function means(query, category, event)
  local kind, stream = type_and_stream(event)
  if category and category_of(stream) ~= category then return false end
  if #query == 0 then return true end
  local has = {}
  for _, tag in ipairs(tags_of(event)) do has[tag] = true end
  for _, filter in ipairs(query) do
    local good = filter.any or filter.types[kind]
    for _, tag in ipairs(filter.tags) do good = good and has[tag] end
    if good then return true end
  end
  return false
end

-- Functions that return one position after the other, and then nil.
local function everything(from, backwards)
  local p = backwards and from + 1 or from - 1
  return function()
    p = backwards and p - 1 or p + 1
    if p >= 1 and p <= head then return p end
  end
end
local function along(name, from, backwards)
  local some, i = {}, 0
  return function()
    if i == #some then
      local command = backwards and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX'
      some = call(command, index, '[' .. name .. place(from), '[' .. name .. place(backwards and 0 or head),
                  'LIMIT', 0, 128)
      i = 0
      if #some == 0 then return nil end
    end
    i = i + 1
    local p = read('>I8', some[i], #name + 1)
    from = backwards and p - 1 or p + 1
    return p
  end
end
-- All that a filter may mean: what is under the rarest of its labels.
local function candidates(filter, category, from, backwards)
  local best, fewest
  local function try(name)
    local count = call('ZLEXCOUNT', index, '[' .. name .. place(0), '[' .. name .. place(head))
    if not fewest or count < fewest then best, fewest = name, count end
  end
  if category then try(label('c', category)) end
  for _, tag in ipairs(filter.tags) do try(label('t', tag)) end
  return best and along(best, from, backwards) or everything(from, backwards)
end
local function walk(query, category, from, backwards)
  if #query <= 1 then return candidates(query[1] or {tags = {}}, category, from, backwards) end
  local ways, next_of = {}, {}
  for i, filter in ipairs(query) do
    ways[i] = candidates(filter, category, from, backwards)
    next_of[i] = ways[i]() or false
  end
  return function()
    local best
    for _, p in ipairs(next_of) do
      if p and (not best or (backwards and p > best) or (not backwards and p < best)) then best = p end
    end
    for i, p in ipairs(next_of) do
      if best and p == best then next_of[i] = ways[i]() or false end
    end
    return best
  end
end

)lua";

}  // namespace omnibus::event_store::redis
