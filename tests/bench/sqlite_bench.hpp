// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>

#include "bench.hpp"

// What benchmarks of SQLite files share: a folder on the disk, and what that disk does by itself.

namespace bench {

/// A folder that goes with its owner.
class Folder {
 public:
  Folder() : path_{(std::filesystem::temp_directory_path() / "omnibus-bench.XXXXXX").string()} {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error{"cannot make a folder"};
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Microseconds that writing a page and flushing it takes.
inline double flush_us(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  if (fd < 0) throw std::runtime_error{"cannot write " + path};
  const std::string page(4096, 'x');
  constexpr int times = 200;
  const Stopwatch watch;
  for (int i = 0; i < times; ++i) {
    if (::pwrite(fd, page.data(), page.size(), i * 4096) < 0 || ::fdatasync(fd) != 0) {
      throw std::runtime_error{"cannot flush " + path};
    }
  }
  const double seconds = watch.seconds();
  ::close(fd);
  return seconds / times * 1e6;
}

}  // namespace bench
