// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include <omnibus/event_store/redis/script_frame.hpp>

// What the server does with events, at once: one script, so that the keys of a store are in one slot of a cluster.

namespace omnibus::event_store::redis {

/// What it does for each letter.
inline constexpr std::string_view script_operations = R"lua(local ops = {}

function ops.a()
  local parts, total = {}, 0
  for i = 1, number() do
    parts[i] = {name = take(), expected = take(), version = take(), count = number()}
    total = total + parts[i].count
  end
  local after, query
  if take() == '1' then after, query = number(), take_query() end
  local first_id, last_id = at + 1, at + total
  local first_fingerprint, first_event = last_id + 1, last_id + total + 1

  local good, facts = true, {}
  for i, part in ipairs(parts) do
    local kind, version, first, deleted, text = state_of(part.name)
    part.at, part.first, part.deleted = version, first, deleted
    facts[i] = text or ''
    local expected = part.expected
    good = good and kind ~= 'T' and (expected == 'any' or expected == 'none' and kind ~= 'L' or
                                     expected == 'exists' and kind == 'L' or
                                     expected == 'exact' and part.version == digits(version))
    local cut = is_cut(part.name, version, first)
    if cut then return cut end
  end
  for i = first_id, last_id, 1000 do
    for _, found in ipairs(call('HMGET', ids, unpack(ARGV, i, math.min(i + 999, last_id)))) do
      facts[#facts + 1] = found or ''
      good = good and not found
    end
  end
  local excluded = 0
  if after and after < head then
    for p in walk(query, nil, after + 1, false) do
      local event = call('HGET', events, digits(p))
      if event and means(query, nil, event) then excluded = p; break end
    end
  end
  if not good or excluded > 0 then
    say(0)
    say(excluded)
    for _, fact in ipairs(facts) do say(fact) end
    return answer()
  end
  say(1)
  say(head + 1)
  if total == 0 then return answer() end

  local stored, located, labels, i = {}, {}, {}, 0
  local positions, states = {}, {}
  local new_head = head
  for _, part in ipairs(parts) do
    if part.count > 0 then
      say(part.at + 1)
      local list = {}
      for _ = 1, part.count do
        part.at = part.at + 1
        new_head = new_head + 1
        local p, id, event = digits(new_head), ARGV[first_id + i], pack('<I8', part.at) .. ARGV[first_event + i]
        stored[#stored + 1] = p
        stored[#stored + 1] = event
        located[#located + 1] = id
        located[#located + 1] = digits(part.at) .. ' ' .. p .. ' ' .. ARGV[first_fingerprint + i] .. part.name
        list[#list + 1] = p
        each_label(event, function(name)
          labels[#labels + 1] = 0
          labels[#labels + 1] = name .. place(new_head)
        end)
        i = i + 1
      end
      positions[#positions + 1] = {list_of(part.name), list}
      states[#states + 1] = part.name
      states[#states + 1] = 'L ' .. digits(part.at) .. ' ' .. digits(part.first) .. ' ' .. digits(part.deleted)
    end
  end
  kept = kept + put('HSET', events, stored)
  put('HSET', ids, located)
  for _, list in ipairs(positions) do put('RPUSH', list[1], list[2]) end
  entries = entries + put('ZADD', index, labels)
  named = named + put('HSET', streams, states)
  head, a[4] = new_head, ARGV[last_id]
  has_written()
  return answer()
end

function ops.v()
  local name, from, backwards, limit, most = take(), take(), take() == '1', number(), number()
  local kind, version, first, deleted, text = state_of(name)
  say(text or '')
  if kind == '' then return answer() end
  local cut, list = is_cut(name, version, first), list_of(name)
  if cut then return cut end
  local v = backwards and math.min(tonumber(from) or version, version) or math.max(tonumber(from) or 1, first)
  local bytes, count = 0, 0
  while v >= first and v <= version and count < limit and (count == 0 or bytes < most) do
    local some = math.min(128, limit - count, backwards and v + 1 - first or version + 1 - v)
    local begin = backwards and v - first - some + 1 or v - first
    local positions = call('LRANGE', list, digits(begin), digits(begin + some - 1))
    local found = call('HMGET', events, unpack(positions))
    for i = 1, some do
      local j = backwards and some + 1 - i or i
      if not found[j] then return damaged(events .. ' has no position ' .. positions[j]) end
      if count > 0 and bytes >= most then break end
      say(tonumber(positions[j]))
      say(found[j])
      count = count + 1
      bytes = bytes + #found[j]
      v = backwards and v - 1 or v + 1
    end
  end
  return answer()
end

function ops.p()
  local of_category, category, from, backwards = take() == '1', take(), take(), take() == '1'
  local limit, most, query = number(), number(), take_query()
  local p = backwards and math.min(tonumber(from) or head, head) or math.max(tonumber(from) or 1, 1)
  say(0)
  if p < 1 or p > head then return answer() end
  local bytes, count, looked = 0, 0, 0
  if not of_category then category = nil end
  for p in walk(query, category, p, backwards) do
    if count >= limit or (count > 0 and bytes >= most) or looked >= 10000 then
      out[4] = p
      break
    end
    looked = looked + 1
    local event = call('HGET', events, digits(p))
    if event and means(query, category, event) then
      say(p)
      say(event)
      count = count + 1
      bytes = bytes + #event
    end
  end
  return answer()
end

function ops.i()
  say(call('HGET', ids, take()) or '')
  return answer()
end

function ops.s()
  local _, _, _, _, text = state_of(take())
  say(text or '')
  return answer()
end

function ops.b()
  local name, before, becomes = take(), take(), take()
  local _, version, was_first, _, text = state_of(name)
  if (text or '') ~= before then
    say(0)
    return answer()
  end
  local cut = is_cut(name, version, was_first)
  if cut then return cut end
  local kind, _, first = match(becomes, '^(%a) (%d+) (%d+) (%d+)$')
  local list = list_of(name)
  -- Where memory is short, a command that frees some has to come first.
  call('HDEL', snapshots_of(name), '')
  for begin = was_first, tonumber(first) - 1, 500 do
    local positions = call('LRANGE', list, 0, math.min(500, tonumber(first) - begin) - 1)
    local gone = {}
    for _, p in ipairs(positions) do
      local event = call('HGET', events, p)
      if event then each_label(event, function(each) gone[#gone + 1] = each .. place(tonumber(p)) end) end
    end
    entries = entries - put('ZREM', index, gone)
    kept = kept - put('HDEL', events, positions)
    call('LTRIM', list, #positions, -1)
  end
  if kind ~= 'L' then call('DEL', snapshots_of(name)) end
  named = named + call('HSET', streams, name, becomes)
  has_written()
  say(1)
  return answer()
end

function ops.k()
  local name, schema, upto, snapshot = take(), take(), number(), take()
  local kind, version, first, deleted = state_of(name)
  local kept_one = call('HGET', snapshots_of(name), schema)
  local newest = kept_one and tonumber(match(kept_one, '^(%d+) ')) or 0
  local usable = kind == 'L' and upto > deleted and upto <= version and upto + 1 >= first and upto >= newest
  if usable then call('HSET', snapshots_of(name), schema, digits(upto) .. ' ' .. snapshot) end
  say(usable and 1 or 0)
  return answer()
end

function ops.l()
  local name, schema = take(), take()
  local _, _, _, _, text = state_of(name)
  say(text or '')
  say(call('HGET', snapshots_of(name), schema) or '')
  return answer()
end

function ops.d()
  call('HDEL', snapshots_of(take()), take())
  return answer()
end

function ops.f()
  say(call('HGET', checkpoints, take()) or '')
  return answer()
end

function ops.m()
  local name, before, becomes, position, id = take(), take(), take(), take(), take()
  local is = call('HGET', checkpoints, name) or '0 '
  local it = call('HGET', ids, id) or ''
  if is ~= before or (position ~= '0' and match(it, '^%d+ (%d+) ') ~= position) then
    say(0)
    say(is)
    say(it)
    return answer()
  end
  followers = followers + call('HSET', checkpoints, name, becomes)
  has_written()
  say(1)
  return answer()
end

function ops.h() return answer() end

local answers = {}
for i = 1, number() do
  local op, count = take(), number()
  local next_at = at + count
  out, size = {}, 3
  local good, said = pcall(ops[op])
  if not good then said = {err = type(said) == 'table' and said.err or tostring(said)} end
  answers[i] = said
  at = next_at
end
if changed then save() end
return answers
)lua";

/// The whole of it.
inline constexpr auto script_bytes = [] {
  std::array<char, script_frame.size() + script_operations.size()> bytes{};
  std::copy(script_operations.begin(), script_operations.end(),
            std::copy(script_frame.begin(), script_frame.end(), bytes.begin()));
  return bytes;
}();

/// KEYS the name of the store in braces; ARGV the history, the last position and the id of its event that the caller
/// knows (empty, 0, empty: none yet), what to call the history of a store that is to be made (empty: it must be
/// there), how many questions there are, and for each a letter, how many arguments follow, and these:
///
///     a  append: how many streams, for each its name, what is expected (any, none, exists, exact), a version and
///        how many events; '1', `after` and a query, or '0'; then all ids, all fingerprints, all events
///     v  versions of a stream: its name, where to begin or '', '1' for backwards, most events, most bytes
///     p  positions: '1' and a category or '0' and '', the same four, and a query
///     i  where an id stands
///     s  the state of a stream
///     b  becomes: a stream, the state it is in, the state it gets; what that leaves below its first is erased
///     k  keeps a snapshot: stream, schema, version, state
///     l  loads a snapshot: stream, schema
///     d  drops a snapshot: stream, schema
///     f  where a follower is
///     m  moves a follower: its name, where it is, where it gets, the position and the id in that
///     h  nothing, beside what is always said
///
/// A query is how many filters, and of each how many types, these, how many tags, these. Returns for each question the
/// history, the last position, the id of its event, and the answer; or an error. Beside the store's name, with a colon:
///
///     (nothing)     a hash: format, history, head, last, and how many entries the others must have
///     events        a hash: position to version and event; what was erased is not there
///     ids           a hash: id to version, position, fingerprint and stream, for ever
///     streams       a hash: name to kind, version, first and deleted_until
///     index         a sorted set of texts: 'c' or 't', the length of a category or tag, that, a position
///     checkpoints   a hash: follower to position and id
///     of:NAME       a list: the positions of a stream, from its first version on
///     snapshots:NAME  a hash: schema to version and state
///
/// Everything that may go wrong with a question goes wrong before its first write: what a server forgets or somebody
/// else writes is found by the numbers of entries, and types of keys by reading them.
inline constexpr std::string_view script{script_bytes.data(), script_bytes.size()};


}  // namespace omnibus::event_store::redis
