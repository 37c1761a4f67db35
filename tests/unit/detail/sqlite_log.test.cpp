// SPDX-License-Identifier: MIT
#include <omnibus/detail/sqlite_log.hpp>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "../sqlite_tools.hpp"

namespace omnibus::detail::sqlite {

TEST_CASE("sqlite: of those who open one new file at once none is told that it is locked") {
  const unit::TemporaryFolder folder;
  constexpr std::size_t threads = 3;
  std::string refused;
  for (int round = 0; round < 100; ++round) {
    const std::string path = folder.file(std::to_string(round));
    std::atomic<std::size_t> ready{0};
    std::vector<Result<>> kept(threads);
    std::vector<std::thread> all;
    for (Result<>& mine : kept) {
      all.emplace_back([&] {
        Database database;
        const int opened = database.open(path, std::chrono::seconds{20});
        for (++ready; ready < threads;) std::this_thread::yield();
        mine = opened == SQLITE_OK ? keep_log(database, path) : problem(database, path, opened);
        if (mine && database.run("BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS t(a); COMMIT") != SQLITE_OK) {
          mine = problem(database, path);
        }
      });
    }
    for (std::thread& each : all) each.join();
    for (const Result<>& each : kept) {
      if (!each) refused += each.error().message() + '\n';
    }
  }
  CHECK(refused == "");
}

TEST_CASE("sqlite: who is locked out of the switch for longer than its patience is told so") {
  const unit::TemporaryFolder folder;
  unit::Raw other{folder.file()};
  REQUIRE(other.run("CREATE TABLE t(a); BEGIN IMMEDIATE") == SQLITE_OK);
  Database database;
  REQUIRE(database.open(folder.file(), std::chrono::milliseconds{10}) == SQLITE_OK);
  const Result<> kept = keep_log(database, folder.file());
  REQUIRE_FALSE(kept);
  CHECK(kept.error().code == Errc::unavailable);
  CHECK(kept.error().context.find("locked") != std::string::npos);
  REQUIRE(other.run("COMMIT") == SQLITE_OK);
  CHECK(keep_log(database, folder.file()));
}

}  // namespace omnibus::detail::sqlite
