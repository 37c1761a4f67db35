// expect: an event of the aggregate has no codec. Write template <> struct omnibus::Codec<Event> with type
// SPDX-License-Identifier: MIT
#include "accounts.hpp"

struct Door {
#ifdef CORRECTED
  using Events = ob::EventTypes<Opened>;
#else
  using Events = ob::EventTypes<Opened, Uncoded>;
#endif
  bool is_open = false;
};
template <class E>
void evolve(Door& door, const E&) {
  door.is_open = true;
}

void use(ob::MemoryEventStore& store) { ob::Aggregate doors{store, Door{}}; }
