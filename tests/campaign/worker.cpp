// SPDX-License-Identifier: MIT
// A process of a campaign: publishes, consumes, redrives dead letters, or collects what has become of all, on
// the broker of the folder whose broker.hpp is found. It ends when its standard input does.
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <omnibus/idempotency/sqlite.hpp>
#include <omnibus/letters.hpp>
#include <omnibus/omnibus.hpp>
#include <omnibus/parked/sqlite.hpp>

#include "broker.hpp"
#include "effects.hpp"
#include "recorder.hpp"
#include "work.hpp"

namespace campaign {
namespace {

namespace ob = omnibus;
using namespace std::chrono_literals;
using Backend = chaos::Broker::Backend;

constexpr std::uint32_t attempts = 4;
constexpr auto publish_timeout = 20s;

/// Waits for the end of the standard input, at most so long. True when it has come.
bool over(std::chrono::nanoseconds patience) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  const timespec until{static_cast<time_t>(patience / 1s), static_cast<long>((patience % 1s).count())};
  return ::ppoll(&input, 1, &until, nullptr) > 0;
}

Backend::Config config_of(const Work& work) { return chaos::Broker{}.config(work.group); }

// ── publishing ───────────────────────────────────────────────────────────────────────────────────────

Record ending_of(Record publish, const ob::Result<ob::Receipt>& ending) {
  publish.kind = Kind::ending;
  publish.value = 0;
  if (ending) {
    publish.outcome = Outcome::ok;
    publish.partition = ending->partition;
    publish.major = ending->position.major;
    publish.minor = ending->position.minor;
  } else {
    const bool unknown = ending.error().code == ob::Errc::outcome_unknown;
    publish.outcome = unknown ? Outcome::unknown : Outcome::failed;
    publish.note = ob::to_string(ending.error().code);
  }
  return publish;
}

void produce(const Work& work) {
  Recorder recorder{work.history, work.name, work.incarnation};
  ob::EventBus<Backend> bus{config_of(work)};
  Messages messages{work};
  const auto pace = std::chrono::nanoseconds{1s} / static_cast<std::int64_t>(work.rate);
  for (auto due = std::chrono::steady_clock::now();; due += pace) {
    const auto now = std::chrono::steady_clock::now();
    if (over(due > now ? due - now : 0ns)) break;
    const ob::Message message = messages.next();
    Record publish = record_of(Kind::publish, message.view());
    publish.topic = work.topic;
    publish.value = static_cast<std::uint64_t>(std::chrono::nanoseconds{publish_timeout}.count());
    recorder.record(publish);
    bus.publish_async(
        work.topic, message,
        [&recorder, &work, id = message.id, key = message.key, publish](const auto& ending) mutable {
          publish.id = id;
          publish.key = key;
          publish.topic = work.topic;
          recorder.record(ending_of(publish, ending));
        },
        {.timeout = publish_timeout});
  }
  const auto closed = bus.close(30s);
  if (!closed) std::cerr << work.name << ": " << closed.error().message() << '\n';
  recorder.record({.kind = Kind::close});
}

// ── consuming ────────────────────────────────────────────────────────────────────────────────────────

Record record_of(Kind kind, const ob::Delivery& delivery, Outcome outcome = Outcome::none) {
  Record record = record_of(kind, delivery.view());
  record.outcome = outcome;
  record.topic = delivery.topic();
  record.group = delivery.group();
  record.attempt = delivery.attempt();
  record.partition = delivery.partition();
  record.generation = delivery.generation();
  if (Backend::capabilities.replay_by_position) {
    record.major = delivery.position().major;
    record.minor = delivery.position().minor;
  }
  return record;
}

/// Records how deliveries ended.
class Witness {
 public:
  explicit Witness(Recorder& recorder) : recorder_{recorder} {}
  void handled(const ob::Delivery& delivery) { settled(delivery, Outcome::ok); }
  void duplicate(const ob::Delivery& delivery) { settled(delivery, Outcome::duplicate); }
  void dropped(const ob::Delivery& delivery) { settled(delivery, Outcome::dropped); }
  void given_back(const ob::Delivery& delivery) { settled(delivery, Outcome::returned); }
  void dead_lettered(const ob::Delivery& delivery, const ob::Error& error) {
    Record record = record_of(Kind::dead_letter, delivery);
    record.note = ob::to_string(error.code);
    recorder_.record(record);
    settled(delivery, Outcome::buried);
  }

 private:
  void settled(const ob::Delivery& delivery, Outcome outcome) {
    recorder_.record(record_of(Kind::settle, delivery, outcome));
  }
  Recorder& recorder_;
};

/// The line of an effect that happens now.
std::string effect_line(const Work& work, const ob::Delivery& delivery) {
  Record effect = record_of(Kind::effect, delivery);
  effect.process = work.name;
  effect.incarnation = work.incarnation;
  effect.wall = nanoseconds(CLOCK_REALTIME);
  effect.at = nanoseconds(CLOCK_MONOTONIC);
  std::string line;
  write_line(line, effect);
  return line;
}

/// Handles messages, and has their effects written with the completion of their keys.
class Till {
 public:
  Till(const Work& work, Recorder& recorder) : work_{work}, recorder_{recorder}, seen_{{.path = work.effects}} {}

  ob::SqliteKeyStore& seen() noexcept { return seen_; }

  ob::Result<> handle(const ob::Delivery& delivery) {
    return attempt(delivery, [&](std::string line) {
      return seen_.write_with(delivery, [line = std::move(line)](sqlite3* database) {
        return write_effect(database, line);
      });
    });
  }
  /// The same where nothing completes a key.
  ob::Result<> handle_without_key(const ob::Delivery& delivery) {
    return attempt(delivery, [&](const std::string& line) {
      std::lock_guard lock{mutex_};
      return file_.write(line);
    });
  }

 private:
  template <class Write>
  ob::Result<> attempt(const ob::Delivery& delivery, Write write) {
    recorder_.record(record_of(Kind::deliver, delivery));
    const auto ended = [&](Outcome outcome) {
      recorder_.record(record_of(Kind::finish, delivery, outcome));
    };
    const Fate fate = fate_of(delivery.id());
    const bool redriven = !delivery.headers().get(ob::redriven_header).empty();
    if (fate == Fate::hopeless && !redriven) return ended(Outcome::permanent), ob::permanent("hopeless");
    if (fate == Fate::fails_at_first && delivery.attempt() < 3) {
      return ended(Outcome::failed), ob::retryable("not yet");
    }
    const ob::Result<> written = write(effect_line(work_, delivery));
    ended(written ? Outcome::ok : Outcome::failed);
    return written;
  }

  const Work& work_;
  Recorder& recorder_;
  EffectsFile file_{work_.effects};
  ob::SqliteKeyStore seen_;
  std::mutex mutex_;
};

/// A stage that makes the mistake of marking a message as done before its handler has run.
auto marks_first(ob::SqliteKeyStore& seen) {
  return ob::stage([&seen](ob::Next next, ob::Delivery& delivery) -> ob::Result<> {
    const ob::IdempotencyKey key{delivery.group(), "marks", delivery.id()};
    const auto claim = seen.claim(key, ob::detail::hash128(delivery.payload()), 5s);
    if (!claim) return ob::retryable(claim.error().message());
    if (claim->state != ob::Claim::State::acquired) return {};
    if (const auto marked = seen.complete(key, *claim); !marked) return ob::retryable("not marked");
    over(2ms);  // as long as a handler may take
    return next(delivery);
  });
}

void consume(const Work& work) {
  Recorder recorder{work.history, work.name, work.incarnation};
  Till till{work, recorder};
  Witness witness{recorder};
  ob::SqliteParkedStore parked{{.path = work.effects}};
  ob::EventBus<Backend, Witness> bus{config_of(work), witness};
  // Idempotent producers and positions: RabbitMQ has neither, and Redis keeps what was sent again.
  const char* once = chaos::Broker::once ? " once" : "";
  const std::string rules =
      "order=" + work.order + " idempotent keeps attempts=" + std::to_string(attempts) + once;
  recorder.record({.kind = Kind::join, .topic = work.topic, .group = work.group, .note = rules});
  ob::EventBus<Backend, Witness>::SubscribeOptions how{.concurrency = 4, .window = 256};
  if (work.order == "parked") {
    how.order = ob::parked;
    how.parked_in = parked;
  }
  const auto policy = ob::retry({.attempts = attempts, .initial = 1ms, .max = 20ms}) |
                      ob::dead_letter(work.topic + ".dlq");
  const auto handle = [&](const ob::Delivery& delivery) { return till.handle(delivery); };
  const auto leaking = [&](const ob::Delivery& delivery) {
    if (::dup(STDIN_FILENO) < 0) throw std::runtime_error{"no more files"};
    return till.handle(delivery);
  };
  const auto leaking_memory = [&](const ob::Delivery& delivery) {
    (void)new std::string(128 << 10, 'x');
    return till.handle(delivery);
  };
  const auto leaking_threads = [&](const ob::Delivery& delivery) {
    if (ob::detail::hash64(delivery.id()) % 16 == 0) std::thread{[] { over(1h); }}.detach();
    return till.handle(delivery);
  };
  const auto keyless = [&](const ob::Delivery& delivery) { return till.handle_without_key(delivery); };
  const auto subscription = [&] {
    const auto keyed = policy | ob::idempotent(till.seen(), {.lease = 5s});
    if (work.defect == "none") return bus.subscribe(work.topic, handle | keyed, how);
    if (work.defect == "marks-first") {
      return bus.subscribe(work.topic, handle | marks_first(till.seen()) | keyed, how);
    }
    if (work.defect == "leaks") return bus.subscribe(work.topic, leaking | keyed, how);
    if (work.defect == "leaks-memory") return bus.subscribe(work.topic, leaking_memory | keyed, how);
    if (work.defect == "leaks-threads") return bus.subscribe(work.topic, leaking_threads | keyed, how);
    if (work.defect == "keyless") return bus.subscribe(work.topic, keyless | policy, how);
    throw std::invalid_argument{"a defect is marks-first, keyless, leaks, leaks-memory or leaks-threads"};
  }();
  while (!over(1h)) {
  }
  const auto closed = bus.close(30s);
  if (!closed) std::cerr << work.name << ": " << closed.error().message() << '\n';
  recorder.record({.kind = Kind::close});
}

// ── redriving ────────────────────────────────────────────────────────────────────────────────────────

/// Redrives letters, again and again: in parked order all, else every other one.
void redrive(const Work& work) {
  Recorder recorder{work.history, work.name, work.incarnation};
  ob::EventBus<Backend> bus{config_of(work)};
  ob::DeadLetters<Backend> letters{bus, work.topic + ".dlq"};
  const auto meant = [&](const ob::LetterView& letter) {
    if (work.order != "parked" && ob::detail::hash64(letter.message.id) % 1000 >= 500) return false;
    Record record = record_of(Kind::redrive, letter.message);
    record.topic = letter.died.topic;
    record.group = letter.died.group;
    recorder.record(record);
    return true;
  };
  do {
    const auto report = letters.redrive(meant, {.window = 64});
    if (!report.ending) std::cerr << work.name << ": " << report.ending.error().message() << '\n';
  } while (!over(1s));
  const auto closed = bus.close(30s);
  if (!closed) std::cerr << work.name << ": " << closed.error().message() << '\n';
  recorder.record({.kind = Kind::close});
}

// ── collecting ───────────────────────────────────────────────────────────────────────────────────────

void collect(const Work& work) {
  Recorder recorder{work.history, work.name, work.incarnation};
  const std::string effects = EffectsFile{work.effects}.lines();
  std::FILE* file = std::fopen(work.history.c_str(), "a");
  const bool written = file != nullptr && std::fwrite(effects.data(), 1, effects.size(), file) == effects.size();
  if (file == nullptr || std::fclose(file) != 0 || !written) throw std::runtime_error{"cannot write " + work.history};
  ob::EventBus<Backend> bus{config_of(work)};
  const auto report = ob::DeadLetters<Backend>{bus, work.topic + ".dlq"}.scan([&](const ob::LetterView& letter) {
    Record record = record_of(Kind::letter, letter.message);
    record.topic = letter.died.topic;
    record.group = letter.died.group;
    record.attempt = letter.died.attempts;
    record.note = letter.died.code;
    recorder.record(record);
    return true;
  });
  if (!report.ending) throw std::runtime_error{report.ending.error().message()};
  recorder.record({.kind = Kind::close});
}

}  // namespace
}  // namespace campaign

int main(int count, char** words) {
  try {
    const campaign::Work work = campaign::read_work({words + 1, words + count});
    if (work.task == "produce") {
      campaign::produce(work);
    } else if (work.task == "consume") {
      campaign::consume(work);
    } else if (work.task == "redrive") {
      campaign::redrive(work);
    } else if (work.task == "collect") {
      campaign::collect(work);
    } else {
      throw std::invalid_argument{"a task is produce, consume, redrive or collect"};
    }
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "campaign worker: " << failure.what() << '\n';
    return 2;
  }
}
