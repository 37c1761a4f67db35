// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/backend.hpp>
#include <omnibus/clock.hpp>
#include <omnibus/subscription_spec.hpp>

// A backend with exactly what the concept asks for and nothing more: what compiles and works with it
// needs no more than the concept. It has one reader for each topic, forgets what it has delivered, and
// can do nothing that its capabilities would have to name.

/// Converts to a std::string and is nothing else.
struct ArchetypeName {
  const char* text = "";
  operator std::string() const { return text; }
};

struct ArchetypeBroker {
  struct Entry {
    std::string topic;
    omnibus::Message message;
    omnibus::MessageView view;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::list<Entry> waiting;
};

class ArchetypeConsumer {
 public:
  ArchetypeConsumer(ArchetypeBroker& broker, std::string topic)
      : broker_{broker}, topic_{std::move(topic)} {}
  ArchetypeConsumer(const ArchetypeConsumer&) = delete;
  ArchetypeConsumer& operator=(const ArchetypeConsumer&) = delete;

  void poll(omnibus::Intake& intake, omnibus::Instant until) {
    intake.report(nullptr);
    const auto mine = [this](const auto& entry) { return entry.topic == topic_; };
    std::unique_lock lock{broker_.mutex};
    auto& waiting = broker_.waiting;
    broker_.changed.wait_until(lock, until, [&] {
      return woken_ || (intake.room() > 0 && std::any_of(waiting.begin(), waiting.end(), mine));
    });
    woken_ = false;
    while (intake.room() > 0) {
      const auto entry = std::find_if(waiting.begin(), waiting.end(), mine);
      if (entry == waiting.end()) break;
      taken_.splice(taken_.end(), waiting, entry);
      ++position_;
      intake.deliver({&entry->view, topic_, 0, {position_, 0}, 0, position_});
    }
  }
  void settle(std::span<const omnibus::Settlement>) {}
  void wake() {
    std::lock_guard lock{broker_.mutex};
    woken_ = true;
    broker_.changed.notify_all();
  }
  omnibus::Result<> close(omnibus::Instant) { return {}; }

 private:
  ArchetypeBroker& broker_;
  std::string topic_;
  std::list<ArchetypeBroker::Entry> taken_;  // messages stay valid until they are settled
  std::uint64_t position_ = 0;
  bool woken_ = false;  // a wake belongs to one consumer; under the broker's lock
};

class Archetype {
 public:
  struct Config {
    ArchetypeName endpoint = {};
    ArchetypeName group = {};
  };
  using Consumer = ArchetypeConsumer;
  static constexpr omnibus::Capabilities capabilities{.name = "archetype"};

  explicit Archetype(Config) {}
  Archetype(const Archetype&) = delete;
  Archetype& operator=(const Archetype&) = delete;

  void submit(std::string_view topic, std::span<omnibus::Outgoing> messages, const omnibus::Submit&) {
    for (omnibus::Outgoing& each : messages) {
      {
        std::lock_guard lock{broker_.mutex};
        auto& entry = broker_.waiting.emplace_back();
        entry.topic = topic;
        entry.message = omnibus::Message{each.message};
        entry.view = entry.message.view();
        broker_.changed.notify_all();
      }
      each.done(omnibus::Receipt{});
    }
  }
  omnibus::Result<> flush(omnibus::Instant) { return {}; }
  Consumer consume(const omnibus::SubscriptionSpec& spec) { return {broker_, spec.topic}; }
  omnibus::Health health() const { return {}; }
  const omnibus::Clock& clock() const { return clock_; }
  omnibus::Result<> close(omnibus::Instant) { return {}; }

 private:
  ArchetypeBroker broker_;
  omnibus::SystemClock clock_;
};

static_assert(omnibus::Backend<Archetype>);
