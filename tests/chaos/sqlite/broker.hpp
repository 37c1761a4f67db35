// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <omnibus/backends/sqlite.hpp>

#include "run.hpp"
#include "sqlite_fixture.hpp"

// An SQLite file, as the fault tests know it.

namespace chaos {

using namespace conformance;

/// A file of its own, or the one that OMNIBUS_CHAOS_FILE names, for processes that a case runs.
struct Broker {
  using Backend = ob::Sqlite;
  static constexpr bool once = true;  // nothing is sent again
  std::chrono::milliseconds deadline = 60s;
  std::uint64_t seed = run_seed();
  std::shared_ptr<Folder> folder = {};
  std::string file = shared_file();
  int topics = 0;

  Broker() {
    if (!file.empty()) return;
    folder = std::make_shared<Folder>();
    file = folder->file("bus.db");
  }
  /// Longer than a busy machine lets a process stand still: who is alive keeps what it has.
  static constexpr auto lease = 4s;

  Backend::Config config(std::string group = "g") const {
    return {.endpoint = file, .group = std::move(group), .lease = lease};
  }
  std::string topic() { return "topic-" + std::to_string(++topics); }
  /// Programs that are run from now on use this one's file.
  void share() const { ::setenv("OMNIBUS_CHAOS_FILE", file.c_str(), 1); }

 private:
  static std::string shared_file() {
    const char* given = std::getenv("OMNIBUS_CHAOS_FILE");
    return given != nullptr ? given : "";
  }
};

}  // namespace chaos
