// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// Which member of a group owns which shard. No I/O.

namespace omnibus::sqlite {

/// A shard of a group, as it stands in the file.
struct ShareRow {
  std::int32_t shard = 0;
  std::uint64_t cursor = 0;
  std::uint64_t seen = 0;
  std::int64_t owner = 0;  ///< 0: nobody
  std::int64_t fence = 0;
  std::int64_t until = 0;  ///< of the lease
};

/// How many of the shards the member of this rank among `members` owns in the end.
constexpr std::size_t fair_share(std::size_t shards, std::size_t members, std::size_t rank) noexcept {
  if (members == 0 || rank >= members) return 0;
  return shards / members + (rank < shards % members ? 1 : 0);
}

/// What a member does next.
struct Claims {
  std::vector<std::size_t> take;          ///< indexes of rows that are free
  std::vector<std::int32_t> give_up;      ///< shards of its own, beyond its share
  bool waits = false;                     ///< others have to give up what it is to own
};

/// Decides for the member `self`. A lease that has ended is free for all but its owner, who has to be told
/// that it lost it. Never more than its share is taken, so that nothing goes to and fro.
inline Claims claims_of(std::int64_t self, const std::vector<ShareRow>& rows, std::size_t share,
                        std::int64_t now) {
  Claims claims;
  std::size_t owned = 0;
  for (const ShareRow& row : rows) owned += row.owner == self ? 1 : 0;
  for (std::size_t i = 0; i < rows.size() && owned < share; ++i) {
    const ShareRow& row = rows[i];
    if (row.owner == self || (row.owner != 0 && row.until >= now)) continue;
    claims.take.push_back(i);
    ++owned;
  }
  for (std::size_t i = rows.size(); i-- > 0 && owned > share;) {
    if (rows[i].owner != self) continue;
    claims.give_up.push_back(rows[i].shard);
    --owned;
  }
  claims.waits = owned < share;
  return claims;
}

}  // namespace omnibus::sqlite
