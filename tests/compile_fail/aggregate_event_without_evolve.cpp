// expect: an event of the aggregate has no evolve. Write void evolve.State& state, const Event& event.
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

struct Door {
  using Events = ob::EventTypes<Opened, Closed>;
  bool is_open = false;
};
void evolve(Door& door, const Opened&) { door.is_open = true; }
#ifdef CORRECTED
void evolve(Door& door, const Closed&) { door.is_open = false; }
#endif

void use(ob::MemoryEventStore& store) { ob::Aggregate doors{store, Door{}}; }
