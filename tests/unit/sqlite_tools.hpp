// SPDX-License-Identifier: MIT
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include <omnibus/detail/sqlite.hpp>

// What tests of what is kept in SQLite files share.

namespace omnibus::unit {

/// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "omnibus-sqlite.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error{errno, std::generic_category(), "make " + name};
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string file(const std::string& name = "test.db") const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Another program's view of a file.
class Raw {
 public:
  explicit Raw(const std::string& path) {
    if (database_.open(path, std::chrono::seconds{5}) != SQLITE_OK) throw std::runtime_error{"cannot open " + path};
  }
  int run(const std::string& sql) { return database_.run(sql.c_str()); }
  sqlite3* connection() const noexcept { return database_.get(); }
  std::int64_t number(std::string_view sql) {
    detail::sqlite::Statement statement;
    if (statement.prepare(database_, sql) != SQLITE_OK || statement.step() != SQLITE_ROW) {
      throw std::runtime_error{database_.problem()};
    }
    return statement.number(0);
  }

 private:
  detail::sqlite::Database database_;
};

inline std::string bytes_of(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream{path, std::ios::binary}.rdbuf();
  return std::move(bytes).str();
}

/// OMNIBUS_SEED, or another one each time.
inline std::uint64_t seed_from_environment() {
  const char* const given = std::getenv("OMNIBUS_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}
/// The number in this variable, or the one for everyday.
inline std::uint64_t number_from_environment(const char* name, std::uint64_t everyday) {
  const char* const given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : everyday;
}

}  // namespace omnibus::unit
