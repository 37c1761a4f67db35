// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <omnibus/outbox/relay.hpp>
#include <omnibus/outbox/sqlite.hpp>

#include "broker_bench.hpp"
#include "sqlite_bench.hpp"

// What relaying an outbox to a real broker costs beside publishing the same messages, of 256 bytes with 10,000 keys,
// by publish_async: the twin. rate: from the start of a relay to the last mark, of an outbox that is full. hot_rate:
// likewise of an outbox with a single key, of which one message at a time is on its way. wake_ms: from the commit of
// one message to its mark, the relay being told.

namespace bench {

class OutboxFile {
 public:
  explicit OutboxFile(const std::string& path) : path_{path} {
    if (database_.open(path, std::chrono::seconds{5}) != SQLITE_OK) throw std::runtime_error{"cannot open " + path};
    (void)omnibus::outbox::File{path, std::chrono::seconds{5}}.backlog().value();  // makes the tables
    outbox_.emplace(database_.get());
  }
  void add(const std::string& topic, const std::string& payload, const std::vector<std::string>& keys,
           std::size_t messages) {
    constexpr std::size_t together = 100;
    for (std::size_t i = 0; i < messages; ++i) {
      if (i % together == 0) run("BEGIN IMMEDIATE");
      outbox_->add(topic, payload, {.key = key_of(keys, i)}).value();
      if (i % together == together - 1 || i == messages - 1) run("COMMIT");
    }
  }
  const std::string& path() const noexcept { return path_; }

 private:
  void run(const char* sql) {
    if (database_.run(sql) != SQLITE_OK) throw std::runtime_error{database_.problem()};
  }

  std::string path_;
  omnibus::detail::sqlite::Database database_;
  std::optional<omnibus::SqliteOutbox> outbox_;
};

template <class Relay>
void wait_until_empty(Relay& relay, std::size_t messages) {
  const Stopwatch watch;
  while (relay.health().relayed < messages || relay.health().in_flight > 0) {
    if (watch.seconds() > 120) throw std::runtime_error{"messages are missing: " + relay.health().problem};
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  relay.stop(std::chrono::seconds{10}).value();
}

/// `Bus` is an EventBus of the case's broker; `prepare(bus, topic)` makes what a topic needs.
template <class Bus, class Case, class Prepare>
void measure_outbox(Case& its, Prepare prepare) {
  const Folder folder;
  const std::string payload(256, 'x');
  static const auto keys = ten_thousand_keys();
  const std::vector<std::string> one_key{"order"};
  std::vector<Run> ours, theirs, hot;
  std::vector<double> wake;
  std::size_t files = 0;
  Bus bus{its.config()};
  const auto relay = [&](const std::string& topic, const auto& with_keys, std::size_t messages) {
    OutboxFile file{folder.file(std::to_string(++files))};
    file.add(topic, payload, with_keys, messages);
    return timed(messages, [&] {
      omnibus::OutboxRelay it{bus, {.path = file.path()}};
      wait_until_empty(it, messages);
    });
  };
  for (int i = 0; i < 5; ++i) {
    const std::string topic = its.new_topic("outbox"), hot_topic = its.new_topic("hot"), twin = its.new_topic("plain");
    for (const std::string& each : {topic, hot_topic, twin}) {
      prepare(bus, each);
      publish_all(bus, each, payload, keys, 100);
    }
    settle();
    theirs.push_back(timed(its.messages, [&] { publish_all(bus, twin, payload, keys, its.messages); }));
    settle();
    ours.push_back(relay(topic, keys, its.messages));
    settle();
    hot.push_back(relay(hot_topic, one_key, 500));
    OutboxFile file{folder.file(std::to_string(++files))};
    omnibus::OutboxRelay it{bus, {.path = file.path(), .mark_every = {}}};
    for (int j = 0; j < 20; ++j) {
      file.add(topic, payload, keys, 1);
      const Stopwatch watch;
      it.notify();
      while (it.health().relayed <= static_cast<std::uint64_t>(j)) std::this_thread::yield();
      wake.push_back(watch.seconds() * 1e3);
    }
  }
  Figures figures{{"rate", middle(ours, &Run::rate)}, {"cpu_us", middle(ours, &Run::cpu_us)}};
  add_twin(figures, "", ours, theirs);
  figures.emplace_back("hot_rate", middle(hot, &Run::rate));
  figures.emplace_back("wake_ms", median(std::move(wake)));
  figures.emplace_back("messages", static_cast<double>(its.messages));
  print(its.name, figures);
}

}  // namespace bench
