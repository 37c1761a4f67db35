// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <omnibus/backends/sqlite.hpp>

#include "faulty.hpp"
#include "suite.hpp"

namespace conformance {

/// A folder that goes with its owner.
class Folder {
 public:
  Folder() : path_{(std::filesystem::temp_directory_path() / "omnibus-sqlite.XXXXXX").string()} {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error{"cannot make a folder"};
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A file of its own for every case.
struct SqliteFixture {
  using Backend = Faulty<ob::Sqlite>;

  std::chrono::milliseconds deadline = std::chrono::seconds{30};
  std::size_t scale = 1000;
  static constexpr std::chrono::seconds takeover{1};  ///< until what a dead member held comes again
  std::uint64_t seed = 1;
  std::shared_ptr<Sabotage> sabotage = std::make_shared<Sabotage>(Fault::none);
  std::shared_ptr<Folder> folder = std::make_shared<Folder>();
  int topics = 0;

  Backend::Config config(std::string group = "g") const {
    return {{.endpoint = folder->file("bus.db"), .group = std::move(group), .lease = std::chrono::seconds{1}},
            sabotage};
  }
  std::string topic() { return "topic-" + std::to_string(++topics); }
  void crash(ob::EventBus<Backend>& bus) const { bus.backend().crash(); }
  void answer(const std::string& topic_name, ob::Errc code, int times) const {
    sabotage->answer(topic_name, code, times);
  }
  std::size_t answered(const std::string& topic_name) const { return sabotage->answered(topic_name); }
};

}  // namespace conformance
