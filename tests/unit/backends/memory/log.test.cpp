// SPDX-License-Identifier: MIT
#include <omnibus/backends/memory/log.hpp>

#include <algorithm>
#include <deque>
#include <thread>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using memory::Log;
using memory::Record;

namespace {

constexpr std::uint64_t nobody = UINT64_MAX;  // nothing below is needed

Message numbered(int number, std::size_t size = 10) {
  return message_of("id " + std::to_string(number), "key " + std::to_string(number % 5),
                    std::string(size, static_cast<char>('a' + number % 26)));
}

}  // namespace

TEST_CASE("a log keeps every part of a message, under growing positions") {
  Log log{1 << 20};
  CHECK(log.first() == 0);
  CHECK(log.end() == 0);
  CHECK(log.find(0) == nullptr);
  Message message = message_of("id", "key", "\0payload"s, "type");
  message.headers = {{"a", "1"}, {"b", "\0"sv}};
  message.time = Time{5s};
  message.sequence = {2, 3};
  const Record* record = log.append(message.view(), nobody);
  REQUIRE(record != nullptr);
  message.payload.assign(100, 'x');  // the log has a copy of its own
  CHECK(record->position == 0);
  CHECK(record->message.id == "id");
  CHECK(record->message.type == "type");
  CHECK(record->message.key == "key");
  CHECK(record->message.payload == "\0payload"sv);
  CHECK(record->message.headers.block() == message.headers.view().block());
  CHECK(record->message.time == Time{5s});
  CHECK(record->message.sequence == Sequence{2, 3});
  CHECK(log.append(Message{}.view(), nobody)->position == 1);
  CHECK(log.end() == 2);
  CHECK(log.find(0) == record);
  CHECK(log.find(1)->message.payload.empty());
  CHECK(log.find(2) == nullptr);
  CHECK(record->next.load() == log.find(1));
}

TEST_CASE("messages of one key have one hash, and those without a key go by their id") {
  Log log{1 << 20};
  const auto hash = [&log](Message message) {
    return log.append(message.view(), nobody)->key_hash;
  };
  const std::uint64_t first = hash(message_of("1", "k"));
  CHECK(first == hash(message_of("2", "k")));
  CHECK(first != hash(message_of("1", "l")));
  CHECK(hash(message_of("1", "")) != hash(message_of("2", "")));
}

TEST_CASE("a log finds the first message of a time or later") {
  Log log{1 << 20};
  CHECK(log.find_time(Time{}) == 0);
  for (int i = 0; i < 10; ++i) {
    Message message = numbered(i);
    message.time = Time{std::chrono::seconds{10 * i}};
    log.append(message.view(), nobody);
  }
  CHECK(log.find_time(Time{-1s}) == 0);
  CHECK(log.find_time(Time{0s}) == 0);
  CHECK(log.find_time(Time{1s}) == 1);
  CHECK(log.find_time(Time{20s}) == 2);
  CHECK(log.find_time(Time{90s}) == 9);
  CHECK(log.find_time(Time{91s}) == 10);
}

TEST_CASE("a full log drops the oldest that nobody needs, for ever, within its bytes") {
  constexpr std::size_t most = 64 * 1024;
  Log log{most};
  for (int i = 0; i < 20'000; ++i) {
    REQUIRE(log.append(numbered(i).view(), nobody) != nullptr);
    REQUIRE(log.bytes() <= most);
  }
  CHECK(log.end() == 20'000);
  CHECK(log.first() > 19'000);
  CHECK(log.find(log.first() - 1) == nullptr);
  for (std::uint64_t at = log.first(); at < log.end(); ++at) {
    REQUIRE(log.find(at) != nullptr);
    REQUIRE(log.find(at)->message.id == "id " + std::to_string(at));
  }
}

TEST_CASE("what is needed is never dropped: a log full of it takes nothing more") {
  Log log{64 * 1024};
  int count = 0;
  while (log.append(numbered(count).view(), 0) != nullptr) ++count;
  CHECK(count > 200);
  CHECK(log.append(numbered(count).view(), 0) == nullptr);
  CHECK(log.first() == 0);
  CHECK(log.end() == static_cast<std::uint64_t>(count));
  const auto half = static_cast<std::uint64_t>(count / 2);
  int more = 0;
  while (log.append(numbered(count + more).view(), half) != nullptr) ++more;
  CHECK(more > 0);
  CHECK(log.first() <= half);
  for (std::uint64_t at = half; at < log.end(); ++at) {
    REQUIRE(log.find(at)->message.id == "id " + std::to_string(at));
  }
  CHECK(log.append(numbered(0).view(), log.end()) != nullptr);
}

TEST_CASE("a log says how large a message may be, and takes one of that size at any time") {
  Log log{64 * 1024};
  const auto of_size = [](std::size_t size) {
    Message message;
    message.payload.resize(size - Log::size_of(message.view()));
    return message;
  };
  const Message largest = of_size(log.largest());
  REQUIRE(Log::size_of(largest.view()) == log.largest());
  for (int round = 0; round < 5; ++round) {
    REQUIRE(log.append(largest.view(), nobody) != nullptr);
    for (int i = 0; i < round * 300; ++i)
      REQUIRE(log.append(numbered(i).view(), nobody) != nullptr);
  }
  CHECK(log.append(of_size(128 * 1024).view(), nobody) == nullptr);
  CHECK(log.append(numbered(0).view(), nobody) != nullptr);
}

TEST_CASE("over a random life the log holds what it must, unharmed") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    std::mt19937_64 random{seed};
    Log log{64 * 1024 * (1 + seed)};
    std::deque<std::string> payloads;  // of all positions from 0
    std::uint64_t needed = 0;
    int refused = 0;
    for (int i = 0; i < 8000; ++i) {
      const std::size_t size = random() % 20 == 0 ? random() % 30'000 : random() % 200;
      std::string payload(size, static_cast<char>('a' + random() % 26));
      const Record* record = log.append(message_of("i", "k", payload).view(), needed);
      if (record != nullptr) {
        if (record->position != payloads.size()) FAIL("wrong position");
        payloads.push_back(std::move(payload));
      } else {
        ++refused;
      }
      if (random() % 8 == 0)
        needed += random() % std::min<std::uint64_t>(8, payloads.size() - needed + 1);
      if (log.bytes() > 64 * 1024 * (1 + seed)) FAIL("too many bytes");
      if (log.first() > needed) FAIL("dropped what is needed");
      if (i % 100 != 0) continue;
      for (std::uint64_t at = log.first(); at < log.end(); ++at) {
        if (log.find(at)->message.payload != payloads[at]) FAIL("harmed");
      }
    }
    CHECK(refused > 0);
    CHECK(refused < 7000);
  }
}

TEST_CASE("readers walk from a record that is kept while another thread appends") {
  Log log{1 << 20};
  const Record* first = log.append(numbered(0).view(), 0);
  constexpr std::uint64_t count = 3000;
  std::thread writer{[&] {
    for (std::uint64_t i = 1; i < count; ++i) log.append(numbered(static_cast<int>(i)).view(), 0);
  }};
  const Record* at = first;
  std::uint64_t position = 0;
  bool good = true;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (position + 1 < count && std::chrono::steady_clock::now() < deadline) {
    if (position + 1 >= log.end()) continue;
    at = at->next.load(std::memory_order_relaxed);  // `end` says that it is there
    ++position;
    good = good && at->position == position && at->message.id == "id " + std::to_string(position);
  }
  writer.join();
  CHECK(good);
  CHECK(position + 1 == count);
}

TEST_CASE("what is placed is read when it is published, all of it at once, or never was there") {
  Log log{64 * 1024};  // segments of 16 KiB
  const auto place = [&](int number, std::size_t size = 10) {
    return log.place(numbered(number, size).view(), nobody);
  };
  log.append(numbered(0).view(), nobody);
  REQUIRE(place(1) != nullptr);
  REQUIRE(place(2) != nullptr);
  CHECK(log.end() == 1);
  CHECK(log.find(1) == nullptr);
  log.publish();
  CHECK(log.end() == 3);
  REQUIRE(log.find(2) != nullptr);
  CHECK(log.find(2)->message.id == "id 2");

  const std::size_t bytes = log.bytes();
  const auto second = log.mark();
  for (int i = 0; i < 3; ++i) REQUIRE(place(3 + i, 15'000) != nullptr);  // each needs a segment
  CHECK(log.bytes() > bytes);
  log.undo(second);
  CHECK(log.bytes() == bytes);
  CHECK(log.end() == 3);
  CHECK(log.append(numbered(9).view(), nobody)->position == 3);
  CHECK(log.find(2)->next.load() == log.find(3));
  CHECK(log.find(3)->message.id == "id 9");
}

TEST_CASE("the first messages of a log can be taken back") {
  Log log{64 * 1024};
  const auto mark = log.mark();
  REQUIRE(log.place(numbered(0).view(), nobody) != nullptr);
  log.undo(mark);
  CHECK(log.bytes() == 0);
  CHECK(log.first() == 0);
  CHECK(log.append(numbered(1).view(), nobody)->position == 0);
  CHECK(log.find(0)->message.id == "id 1");
}

TEST_CASE("a log drops nothing of what is being placed, and takes the largest batch at any time") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{4000}, std::size_t{8000}}) {
    Log log{64 * 1024};
    log.append(numbered(0, log.largest() - 200).view(), nobody);  // the worst that may be there
    const std::uint64_t begin = log.end();
    std::size_t taken = 0;
    int count = 0;
    while (true) {
      const Message message = numbered(++count, size);
      if (taken + Log::size_of(message.view()) > log.largest_batch()) break;
      taken += Log::size_of(message.view());
      REQUIRE(log.place(message.view(), nobody) != nullptr);
    }
    log.publish();
    CHECK(log.end() == begin + static_cast<std::uint64_t>(count) - 1);
    if (count > 1) CHECK(log.find(begin)->message.id == "id 1");
  }
}
