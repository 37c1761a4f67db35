// SPDX-License-Identifier: MIT
#pragma once

#include <omnibus/backends/kafka/assignment.hpp>
#include <omnibus/backends/kafka/group_client.hpp>

// A topic that is deleted and made again has another log under the same name. Where we stood in the first one, the
// second may be by now, so that offsets do not tell. The broker removes what groups have committed of a topic with it.

namespace omnibus::kafka {

/// So long, in milliseconds, a turn may wait for the broker's word.
inline constexpr int look_ms = 1000;
/// And so long who has no time left.
inline constexpr int short_look_ms = 100;

/// To be asked before each commit: finds the logs that are gone, see `Assignment::note_recorded`. Returns false when
/// the broker does not say, and nothing may be committed. Blocks until the answer, or for so long.
template <class HasNews>
bool logs_are_known(const GroupClient& client, Assignment& assignment, HasNews has_news, int ms) {
  const Offsets asked = assignment.recorded(has_news);
  if (asked->cnt == 0) return true;
  if (!client.look_up(*asked, ms)) return false;
  assignment.note_recorded(*asked);
  return true;
}

}  // namespace omnibus::kafka
