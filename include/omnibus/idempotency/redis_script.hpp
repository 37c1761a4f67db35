// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

// What the server does with idempotency keys, at once and on its own clock.

namespace omnibus::redis::scripts {

/// Carries out requests in order. KEYS fence names...; ARGV how many claims there are, then for each name
/// what is asked, milliseconds, token (8 bytes), and what is to be kept:
///
///     c  claims the key for so long, with a fingerprint of 16 bytes. A claim is known by its token.
///     d  completes the claim with this token, and remembers the key for so long, with a result
///     r  releases it
///     D and R are said again, because the answer was lost: they may have been carried out
///
/// A key is a string: its state, p or c for in progress or completed, the token, the fingerprint, and of a
/// completed one the result. Its time to live is the lease, or how long it is remembered. Returns two values for
/// each name: what has become of it, in the order of Claim::State (of d and r: 0 done, 1 the claim is no longer
/// in force), and the fence, what is left of the lease, or the result.
inline constexpr std::string_view keys = R"lua(
local fence = 0
local claims = tonumber(ARGV[1])
if claims > 0 then fence = redis.call('INCRBY', KEYS[1], claims) - claims end
local out = {}
for i = 2, #KEYS do
  local key, a = KEYS[i], 4 * i - 6
  local op, ms, token, kept = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local state, number = 0, 0
  if op == 'c' then
    fence = fence + 1
    number = fence
    if not redis.call('SET', key, 'p' .. token .. kept, 'NX', 'PX', ms) then
      local known = redis.call('GET', key)
      if known:sub(10, 25) ~= kept then
        state = 3
      elseif known:sub(1, 1) == 'c' then
        state, number = 2, known:sub(26)
      else
        state, number = 1, redis.call('PTTL', key)
      end
    end
  else
    local known = redis.call('GET', key)
    local held = known and known:sub(2, 9) == token
    if held and known:sub(1, 1) == 'p' then
      if op == 'r' or op == 'R' then
        redis.call('DEL', key)
      else
        redis.call('SET', key, 'c' .. known:sub(2) .. kept, 'PX', ms)
      end
    elseif not (op == 'D' and held or op == 'R' and not known) then
      state = 1
    end
  end
  out[#out + 1] = state
  out[#out + 1] = number
end
return out
)lua";

}  // namespace omnibus::redis::scripts
