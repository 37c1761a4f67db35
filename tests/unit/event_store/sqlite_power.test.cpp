// SPDX-License-Identifier: MIT
#include <omnibus/event_store/sqlite.hpp>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/event_store/sqlite_disk.hpp"
#include "unit/event_store/sqlite_judge.hpp"
#include "unit/sqlite_tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream{path, std::ios::binary}.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
/// Opens what a disk had in a new place and judges it.
std::string judge_image(const DiskImage& image, const Answered& answered) {
  const TemporaryFolder folder;
  const FaultyDisk fast;  // nothing is flushed really
  for (const auto& [name, bytes] : image) write_file(folder.file(name), bytes);
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash}};
  return judge(store, answered);
}

}  // namespace

TEST_CASE("sqlite events: a loss of power takes nothing that was answered and leaves no batch in part") {
  std::uint64_t random = seed_from_environment();
  INFO("OMNIBUS_SEED=" << random);
  struct Cut {
    DiskImage image;
    std::size_t answers;
  };
  std::vector<Cut> cuts;
  std::vector<std::pair<std::string, std::uint64_t>> answers;
  std::atomic<std::size_t> answered{0};
  {
    const TemporaryFolder folder;
    FaultyDisk disk;
    std::mutex mutex;
    const std::uint64_t one_in = number_from_environment("OMNIBUS_CUT_ONE_IN", 12);
    disk.on_change = [&] {
      std::lock_guard lock{mutex};
      const auto below = [&random](std::uint64_t limit) { return (random = detail::mix64(random)) % limit; };
      if (below(one_in) != 0) return;
      const std::uint64_t kept = below(5);  // of four: nothing that was not flushed, a part, or all
      const std::size_t count = answered;
      cuts.push_back({disk.after_power_loss([&] { return below(4) < kept; }), count});
    };
    SqliteEventStore store{{.path = folder.file()}};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < 25; ++i) {
          const std::string batch = std::to_string(thread) + "-" + std::to_string(i);
          const auto done = append_batch(store, batch, 1 + static_cast<std::size_t>(i % 4), "s-" + std::to_string(thread),
                                         i % 3 == 0 ? "both" : "");
          {
            std::lock_guard lock{mutex};
            if (!done || done->events.empty()) throw std::runtime_error{"an append has failed"};
            answers.emplace_back(batch, done->events.back().position);
          }
          ++answered;
          if (thread != 0 || i % 6 != 5) continue;
          (void)Raw{folder.file()}.run(i % 4 == 1 ? "PRAGMA wal_checkpoint(RESTART)" : "PRAGMA wal_checkpoint");
        }
      });
    }
    for (auto& each : threads) each.join();
    disk.on_change = {};
  }
  CHECK(cuts.size() > 10);
  for (const Cut& cut : cuts) {
    const Answered before(answers.begin(), answers.begin() + static_cast<std::ptrdiff_t>(cut.answers));
    REQUIRE(judge_image(cut.image, before) == "");
  }
}

TEST_CASE("sqlite events: wherever the log ends, whole batches are what is left of it") {
  const TemporaryFolder folder;
  {
    SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash}};
    REQUIRE(append_batch(store, "first", 3, "s-0"));
  }
  DiskImage image;
  std::uint64_t last = 0;
  SqliteEventStore store{{.path = folder.file(), .durability = Durability::process_crash}};
  for (int i = 0; i < 8; ++i) {
    const auto done = append_batch(store, "b-" + std::to_string(i), 4, "s-0", "s-1");
    REQUIRE(done);
    last = done->events.back().position;
  }
  const std::string log = bytes_of(folder.file("test.db-wal"));
  image["test.db"] = bytes_of(folder.file());
  REQUIRE(log.size() > 80'000);
  std::set<std::size_t> lengths;
  const std::size_t step = number_from_environment("OMNIBUS_LOG_STEP", 5'003);
  for (std::size_t length = 0; length < log.size(); length += step) lengths.insert(length);
  for (std::size_t end = 32; end < log.size(); end += 4096 + 24) lengths.insert({end - 1, end});
  for (const std::size_t length : lengths) {
    image["test.db-wal"] = log.substr(0, length);
    INFO("the log ends at byte " << length << " of " << log.size());
    REQUIRE(judge_image(image, {{"first", 3}}) == "");
  }
  image["test.db-wal"] = log;
  CHECK(judge_image(image, {{"first", 3}, {"b-7", last}}) == "");
}

TEST_CASE("sqlite events: when the disk fails at the end of a write nobody can tell, and sending it again tells") {
  const TemporaryFolder folder;
  FaultyDisk disk;
  SqliteEventStore store{{.path = folder.file()}};
  REQUIRE(append_batch(store, "a", 2, "s-0"));
  for (std::atomic<int>* fault : {&disk.flushes, &disk.writes}) {
    const std::string name = fault == &disk.flushes ? "b" : "c";
    *fault = fault == &disk.flushes ? SQLITE_IOERR_FSYNC : SQLITE_IOERR_WRITE;
    const auto unknown = append_batch(store, name, 2, "s-0");
    REQUIRE_FALSE(unknown);
    INFO(unknown.error().message());
    CHECK(unknown.error().code == Errc::outcome_unknown);
    CHECK(unknown.error().retryable);
    *fault = SQLITE_OK;
    REQUIRE(append_batch(store, name, 2, "s-0"));
  }
  CHECK(append_batch(store, "b", 2, "s-0")->events.back().position == 4);

  disk.writes = SQLITE_FULL;  // nothing of it counts: the last page of a batch did not get on the disk
  const auto full = append_batch(store, "d", 2, "s-0");
  REQUIRE_FALSE(full);
  INFO(full.error().message());
  CHECK(full.error().code == Errc::unavailable);
  CHECK_FALSE(*store.locate("d/0/2"));
  disk.writes = SQLITE_OK;
  CHECK(judge(store, {{"a", 2}, {"b", 4}, {"c", 6}}) == "");
}

TEST_CASE("sqlite events: what may only be read is read, and refuses what would change it") {
  const TemporaryFolder folder;
  {
    SqliteEventStore store{{.path = folder.file()}};
    REQUIRE(append_batch(store, "a", 2, "s-0"));
  }
  FaultyDisk disk;
  disk.read_only = true;
  SqliteEventStore store{{.path = folder.file()}};
  EventPage page;
  REQUIRE(store.read_stream("s-0", {}, page));
  CHECK(page.size() == 2);
  const auto refused = append_batch(store, "b", 1, "s-0");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::access_denied);
  CHECK_FALSE(refused.error().retryable);
}

TEST_CASE("sqlite events: those who write at once share a flush, and a conflict of one is nobody else's") {
  const TemporaryFolder folder;
  FaultyDisk disk;
  SqliteEventStore store{{.path = folder.file()}};
  REQUIRE(append_batch(store, "first", 1, "taken"));
  std::binary_semaphore never{0};
  disk.on_change = [&] { (void)never.try_acquire_for(200us); };  // a slow disk
  const std::uint64_t before = disk.flushed;
  constexpr int threads = 24, each = 6;
  std::atomic<int> stored{0}, conflicts{0};
  std::vector<std::thread> all;
  for (int thread = 0; thread < threads; ++thread) {
    all.emplace_back([&, thread] {
      for (int i = 0; i < each; ++i) {
        const std::string id = std::to_string(thread) + "-" + std::to_string(i);
        const NewEvent event{id, "t", "p"};
        const bool loses = thread % 2 == 0;
        const auto done = append(store, loses ? "taken" : "s-" + id, ExpectedVersion::none(), {&event, 1});
        stored += done && !loses ? 1 : 0;
        conflicts += !done && loses && done.error().code == Errc::conflict ? 1 : 0;
      }
    });
  }
  for (auto& one : all) one.join();
  disk.on_change = {};
  CHECK(stored == threads * each / 2);
  CHECK(conflicts == threads * each / 2);
  CHECK(disk.flushed - before < threads * each / 4);
}
