// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

// What the server does with parked keys, at once.

namespace omnibus::redis::scripts {

/// KEYS a hash with the parked keys of a group and topic, the set of the letters of one of them; ARGV what is
/// asked, and what it is about:
///
///     a KEY ID TOPIC DIED_IN  the key waits for this letter as well
///     r KEY ID                it does not any more. Returns 1 when it waits for no other one
///     f KEY ID                returns 1 when the key waits, and 2 more when it does for this letter
///     l MOST                  returns the hash; -1 when it has more keys than that
///
/// In the hash stand for each key the length of the name of its topic, a colon, the name, and died_in.
inline constexpr std::string_view parked_keys = R"lua(
local op, key, id = ARGV[1], ARGV[2], ARGV[3]
if op == 'a' then
  local topic, died = ARGV[4], ARGV[5]
  local known = redis.call('HGET', KEYS[1], key)
  if known then
    local colon = known:find(':', 1, true)
    topic = known:sub(colon + 1, colon + tonumber(known:sub(1, colon - 1)))
  end
  if not known or died ~= '' then
    redis.call('HSET', KEYS[1], key, #topic .. ':' .. topic .. died)
  end
  redis.call('SADD', KEYS[2], id)
elseif op == 'r' then
  redis.call('SREM', KEYS[2], id)
  if redis.call('SCARD', KEYS[2]) > 0 then return 0 end
  redis.call('HDEL', KEYS[1], key)
  return 1
elseif op == 'f' then
  return redis.call('HEXISTS', KEYS[1], key) + 2 * redis.call('SISMEMBER', KEYS[2], id)
else
  if redis.call('HLEN', KEYS[1]) > tonumber(key) then return -1 end
  return redis.call('HGETALL', KEYS[1])
end
return 0
)lua";

}  // namespace omnibus::redis::scripts
