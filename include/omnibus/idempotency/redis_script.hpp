// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

// What the server does with idempotency keys, at once and on its own clock.

namespace omnibus::redis::scripts {

/// Carries out requests in order. KEYS fence names...; ARGV how many claims there are, then for each name
/// milliseconds, and in one text what is asked (a byte), a token (8 bytes), and what is to be kept:
///
///     p  claims the key for so long, with a fingerprint of 16 bytes. A claim is known by its token.
///     d  completes the claim with this token, and remembers the key for so long, with a result
///     r  releases it
///     D and R are said again, because the answer was lost: they may have been carried out
///
/// A key is a string: its state, p or c for in progress or completed, the token, the fingerprint, and of a
/// completed one the result; what claims a key is its value. Its time to live is the lease, or how long it is
/// remembered. Returns a value for each name. Of a claim: its fence, from 1; minus what is left of the lease of
/// who has the key; the result of a completed one; or nil for another fingerprint. Of d and r: 1 when it is done, 0
/// when the claim is no longer in force.
inline constexpr std::string_view keys = R"lua(
local call, byte, sub = redis.call, string.byte, string.sub
local fence = 0
local claims = tonumber(ARGV[1])
if claims > 0 then fence = call('INCRBY', KEYS[1], claims) - claims end
local out = {}
for i = 2, #KEYS do
  local key, ms, asked = KEYS[i], ARGV[2 * i - 2], ARGV[2 * i - 1]
  local op = byte(asked)
  local answer = 0
  if op == 112 then
    fence = fence + 1
    answer = fence
    if not call('SET', key, asked, 'NX', 'PX', ms) then
      local known = call('GET', key)
      if sub(known, 10, 25) ~= sub(asked, 10) then
        answer = false
      elseif byte(known) == 99 then
        answer = sub(known, 26)
      else
        answer = -call('PTTL', key)
      end
    end
  else
    local known = call('GET', key)
    local held = known and sub(known, 2, 9) == sub(asked, 2, 9)
    if held and byte(known) == 112 then
      if op == 114 or op == 82 then
        call('DEL', key)
      else
        call('SET', key, 'c' .. sub(known, 2) .. sub(asked, 10), 'PX', ms)
      end
      answer = 1
    elseif op == 68 and held or op == 82 and not known then
      answer = 1
    end
  end
  out[i - 1] = answer
end
return out
)lua";

}  // namespace omnibus::redis::scripts
