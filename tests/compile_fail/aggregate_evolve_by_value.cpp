// expect: an event of the aggregate has no evolve. Write void evolve.State& state, const Event& event.
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

struct Door {
  using Events = ob::EventTypes<Opened>;
  bool is_open = false;
};
#ifdef CORRECTED
void evolve(Door& door, const Opened&) { door.is_open = true; }
#else
void evolve(Door& door, Opened&) { door.is_open = true; }
#endif

void use(ob::MemoryEventStore& store) { ob::Aggregate doors{store, Door{}}; }
