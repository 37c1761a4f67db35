// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/outbox/sqlite.hpp>

#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

// What the tests of the outbox share: a program with an outbox, and a bus whose endings the test decides.

namespace omnibus::unit {

/// A connection with a business table and an outbox.
class Shop {
 public:
  explicit Shop(const std::string& path) : raw_{path}, outbox{raw_.connection()} {
    if (raw_.run("PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS orders(id TEXT)") != SQLITE_OK) {
      throw std::runtime_error{"cannot make the table"};
    }
  }
  /// One transaction. Returns what its COMMIT does; `work` returns whether to.
  bool transact(const std::function<bool()>& work) {
    if (raw_.run("BEGIN IMMEDIATE") != SQLITE_OK) return false;
    if (work()) return raw_.run("COMMIT") == SQLITE_OK;
    return raw_.run("ROLLBACK") != SQLITE_OK;
  }
  /// Adds messages with the ids "KEY-NUMBER" in one transaction.
  void add(const std::vector<std::pair<std::string, int>>& messages, const std::string& topic = "orders") {
    const bool added = transact([&] {
      for (const auto& [key, number] : messages) {
        const std::string id = key + "-" + std::to_string(number);
        outbox.add(topic, message_of(id, key, std::to_string(number), "placed")).value();
      }
      return true;
    });
    if (!added) throw std::runtime_error{"cannot add"};
  }
  std::int64_t count() { return raw_.number("SELECT count(*) FROM omnibus_outbox"); }
  Raw& raw() { return raw_; }

 private:
  Raw raw_;

 public:
  SqliteOutbox outbox;  // goes before the connection
};

/// Remembers what is published, and ends it when it is told to.
class FakeBus {
 public:
  struct Sent {
    std::string topic;
    Message message;
    PublishDone done;
  };

  template <class E, class Done>
  void publish_async(std::string_view topic, const E& event, Done&& done) {
    sent.push_back({std::string{topic}, Message{event}, std::forward<Done>(done)});
    ids.push_back(sent.back().message.id);
  }
  /// Ends the first publish of this id that has no ending yet.
  void end(std::string_view id, Result<Receipt> ending = Receipt{}) {
    for (Sent& each : sent) {
      if (each.message.id != id || !each.done) continue;
      return std::exchange(each.done, PublishDone{})(std::move(ending));
    }
    throw std::runtime_error{"not on its way: " + std::string{id}};
  }
  void end_all() {
    for (Sent& each : sent) {
      if (each.done) std::exchange(each.done, PublishDone{})(Receipt{});
    }
  }
  /// The ids that were published since the last call.
  std::vector<std::string> take_ids() { return std::exchange(ids, {}); }

  std::vector<Sent> sent;
  std::vector<std::string> ids;
};

}  // namespace omnibus::unit
