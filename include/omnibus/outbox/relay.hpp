// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/outbox/engine.hpp>
#include <omnibus/outbox/file.hpp>
#include <omnibus/outbox/options.hpp>
#include <omnibus/result.hpp>

// From an outbox to a broker.

namespace omnibus {

/// What waits in an outbox: how many messages, and since when.
using OutboxBacklog = outbox::Backlog;

/// Publishes what stands in the outbox of a file to a bus, from its construction on, on a thread of its own.
///
///     ob::OutboxRelay relay{bus, {.path = "orders.db"}};
///
/// Delivery: at least once, with the same id each time. A message leaves the file when the broker has confirmed it;
/// one whose ending is unknown is sent again. Order: of one key, as it was added, at any failure: what was sent twice
/// is told by its id, and the first copies come in order. A key whose message fails waits, and others go on.
/// Of several relays on one file, in one process or many, one is active. Its lease is kept in the file and fenced: one
/// that has stalled marks nothing when it wakes up. Another one goes on at once when it is stopped, and after `lease`
/// when it is killed.
/// Throughput: of each key one message at a time is on its way, so that a single key moves at the pace of the broker's
/// answers; many keys go together.
/// Thread safety: shared objects are safe. A fork must not use a relay of its parent.
/// Lifetime: the bus must outlive it.
template <class Bus>
class OutboxRelay {
 public:
  /// Throws std::invalid_argument. What is wrong with the file is shown in `health` and tried again.
  OutboxRelay(Bus& bus, OutboxRelayOptions options)
      : path_{options.path},
        busy_timeout_{options.busy_timeout},
        close_timeout_{options.close_timeout},
        engine_{bus, std::move(options)},
        thread_{[this] { run(); }} {}
  /// Stops, waiting `close_timeout` for what is on its way.
  ~OutboxRelay() { (void)stop(close_timeout_); }
  OutboxRelay(const OutboxRelay&) = delete;
  OutboxRelay& operator=(const OutboxRelay&) = delete;

  /// Says that something was committed, so that it is relayed at once. Without it, it is seen within `look_every`.
  void notify() { engine_.wake(); }
  /// Tries keys on hold now, and goes on after OnRefused::stop.
  void try_again() { engine_.try_again(); }

  /// Sends nothing more, waits for what is on its way, and gives the lease back. Idempotent.
  /// Errors: timed_out, with messages on their way, which the next relay sends again; those of the file.
  Result<> stop(Duration timeout) {
    const std::lock_guard lock{stop_mutex_};
    if (!thread_.joinable()) return stopped_;
    stop_by_ = after(std::chrono::steady_clock::now(), timeout);
    stopping_ = true;
    engine_.wake();
    thread_.join();
    return stopped_;
  }

  OutboxRelayHealth health() const { return engine_.health(); }
  /// What waits in the file now. Blocking: as the file. Complexity: linear. Errors: unavailable, access_denied,
  /// topology_mismatch.
  Result<OutboxBacklog> backlog() const {
    outbox::File file{path_, busy_timeout_};
    return file.backlog();
  }

 private:
  void run() {
    while (!stopping_) {
      if (!engine_.step() && !stopping_) engine_.wait();
    }
    stopped_ = engine_.finish(stop_by_);
  }

  const std::string path_;
  const Duration busy_timeout_, close_timeout_;
  outbox::Engine<Bus> engine_;
  std::mutex stop_mutex_;
  std::atomic<bool> stopping_{false};
  Instant stop_by_{};   // before stopping_
  Result<> stopped_;    // of the thread, until it has ended
  std::thread thread_;  // begins when the rest is there
};

}  // namespace omnibus
