// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/event_bus.hpp>

// The conformance suite: what every backend must show, written against the public API alone. A case
// is a function over a fixture; it throws a Violation when the backend breaks a contract, so that
// the same case also serves to prove that a broken backend is found out.
//
// A fixture F says how to reach one broker:
//
//     using Backend = ...;
//     Backend::Config config(std::string group = "g");  // each call: a bus on the same broker
//     std::string topic();                              // a new name at every call
//     std::chrono::milliseconds deadline;               // after it a missing message is lost
//     std::size_t scale;                                // how many messages a big case takes
//     std::uint64_t seed;                               // of all random choices
//
// and, where it can, what selects further cases:
//
//     void crash(EventBus<Backend>&);                   // its consumers die without a word
//     std::chrono::seconds takeover;                    // until what they held comes again
//     void answer(std::string topic, Errc, int times);  // the next publishes there end like this
//     std::size_t answered(std::string topic);          // how many have ended like this
//     Backend::Config small_config(std::string group);  // a broker with a window of 64 KiB
//
// A fixture with a member `largest_window` says that its broker hands out no more messages than this at
// once, however they are spread over its partitions.
//
// A fixture with a member `counts_deliveries` says that its broker counts as an attempt what was
// delivered and given back without having begun.

namespace conformance {

namespace ob = omnibus;
using namespace std::chrono_literals;

template <class F>
using Bus = ob::EventBus<typename F::Backend>;

/// A broken contract, in words.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Ends the case: `violated("got ", 3, " of ", 4)`.
template <class... Parts>
[[noreturn]] void violated(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Violation{text.str()};
}

/// Ends the case unless `good`.
template <class... Parts>
void expect(bool good, const Parts&... parts) {
  if (!good) violated(parts...);
}

template <class A, class B, class... Parts>
void expect_equal(const A& is, const B& should, const Parts&... parts) {
  if (!(is == should)) violated(parts..., " is ", is, ", not ", should);
}

/// What a case needs of the backend or of the fixture.
enum Need : unsigned {
  nothing = 0,
  keeps = 1u << 0,  ///< what was published before any subscription comes too
  groups = 1u << 1,
  redelivers = 1u << 2,
  order = 1u << 3,
  delays = 1u << 4,
  positions = 1u << 5,
  times = 1u << 6,
  attempts = 1u << 7,
  crash = 1u << 8,    ///< the fixture can kill consumers
  answers = 1u << 9,  ///< the fixture can make publishes fail
  small = 1u << 10,   ///< the fixture has a broker with a small window
  retains = 1u << 11,    ///< every new group gets what was published before it
  untouched = 1u << 12,  ///< what was not begun does not count as an attempt
  atomic = 1u << 13,
};

/// What a fixture and its backend offer, as a set of Needs.
template <class F>
consteval unsigned offers() {
  constexpr ob::Capabilities can = F::Backend::capabilities;
  unsigned offered = nothing;
  if (can.redelivers) offered |= Need::keeps | Need::redelivers;
  if (can.groups) offered |= Need::groups;
  if (can.ordered_by_key) offered |= Need::order;
  if (can.delays) offered |= Need::delays;
  if (can.replay_by_position) offered |= Need::positions;
  if (can.replay_by_time) offered |= Need::times;
  if (can.counts_attempts) offered |= Need::attempts;
  if (can.retains) offered |= Need::retains;
  if (can.atomic_publish) offered |= Need::atomic;
  if (can.counts_attempts && !requires { F::counts_deliveries; }) offered |= Need::untouched;
  if (requires(F & f, Bus<F> & bus) { f.crash(bus); }) offered |= Need::crash;
  if (requires(F & f) { f.answer(std::string{}, ob::Errc::rejected, 1); }) offered |= Need::answers;
  if (requires(F & f) { f.small_config(std::string{}); }) offered |= Need::small;
  return offered;
}

/// How many messages may be taken and not settled, of those that a case would like.
template <class F>
constexpr std::size_t largest_window(std::size_t wanted) {
  if constexpr (requires { F::largest_window; }) {
    return wanted < F::largest_window ? wanted : F::largest_window;
  } else {
    return wanted;
  }
}

/// The names of a set of Needs.
inline std::string names_of(unsigned needs) {
  constexpr std::string_view names[] = {"keeps",  "groups",    "redelivers", "order",
                                        "delays", "positions", "times",      "attempts",
                                        "crash",  "answers",   "small",      "retains",
                                        "untouched", "atomic"};
  std::string text;
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if ((needs >> i & 1u) != 0) text.append(text.empty() ? "" : ", ").append(names[i]);
  }
  return text;
}

/// The cases that hold for a fixture, and those that were left out, with what they miss.
template <class F>
class Suite {
 public:
  struct Case {
    std::string name;
    void (*run)(F&);
  };
  struct LeftOut {
    std::string name;
    std::string missing;
  };

  /// Adds a case, a callable (auto& fixture). One that needs what is not there is not compiled.
  template <unsigned needs, class Body>
  void add(std::string name, Body) {
    constexpr unsigned missing = needs & ~offers<F>();
    if constexpr (missing == 0) {
      cases_.push_back({std::move(name), [](F& fixture) { Body{}(fixture); }});
    } else {
      left_out_.push_back({std::move(name), names_of(missing)});
    }
  }

  const std::vector<Case>& cases() const noexcept { return cases_; }
  const std::vector<LeftOut>& left_out() const noexcept { return left_out_; }

 private:
  std::vector<Case> cases_;
  std::vector<LeftOut> left_out_;
};

}  // namespace conformance
