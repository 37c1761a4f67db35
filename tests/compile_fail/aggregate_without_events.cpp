// expect: the state does not say what its events are. Write using Events = omnibus::EventTypes<Placed, Paid>; in it
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

struct Door {
#ifdef CORRECTED
  using Events = ob::EventTypes<Opened>;
#endif
  bool is_open = false;
};
void evolve(Door& door, const Opened&) { door.is_open = true; }

void use(ob::MemoryEventStore& store) {
  ob::Aggregate doors{store, Door{}};
  (void)doors.execute("door-1", [](const Door&) { return Opened{}; });
}
