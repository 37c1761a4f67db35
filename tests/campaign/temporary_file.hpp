// SPDX-License-Identifier: MIT
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace campaign {

/// An empty file that is gone afterwards.
class TemporaryFile {
 public:
  TemporaryFile() : path{(std::filesystem::temp_directory_path() / "omnibus-history-XXXXXX").string()} {
    const int file = ::mkstemp(path.data());
    if (file < 0) throw std::system_error{errno, std::generic_category(), "make " + path};
    ::close(file);
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  TemporaryFile(const TemporaryFile&) = delete;

  std::string path;
};

}  // namespace campaign
