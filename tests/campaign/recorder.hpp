// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "history.hpp"

// Appends what a process does to a file.

namespace campaign {

/// Nanoseconds on the clock that all processes of a machine share, and since 1970.
inline std::int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// A process's part of a history. Each record is one write(2) to a file that is only appended to, so that
/// several processes may share it, and a SIGKILL loses at most the record that is being written. What has
/// been recorded is in the hands of the kernel: it survives the process, not the machine.
/// Thread safety: shared objects are safe; the lines of a process stand in the order of their times.
/// Errors: std::system_error, also when the disk is full: a history with holes proves nothing.
class Recorder {
 public:
  /// Records `begin`. `incarnation` must be new for this role.
  Recorder(const std::string& path, std::string process, std::uint32_t incarnation)
      : process_{std::move(process)},
        incarnation_{incarnation},
        file_{::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)} {
    if (file_ < 0) throw std::system_error{errno, std::generic_category(), "open " + path};
    record({.kind = Kind::begin});
  }
  ~Recorder() { ::close(file_); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Writes a record, with who it is and what time it is filled in.
  void record(Record record) {
    record.process = process_;
    record.incarnation = incarnation_;
    std::lock_guard lock{mutex_};
    record.wall = nanoseconds(CLOCK_REALTIME);
    record.at = nanoseconds(CLOCK_MONOTONIC);
    line_.clear();
    write_line(line_, record);
    const ssize_t written = ::write(file_, line_.data(), line_.size());
    if (written == static_cast<ssize_t>(line_.size())) return;
    const int error = written < 0 ? errno : ENOSPC;
    throw std::system_error{error, std::generic_category(), "write a history"};
  }

 private:
  const std::string process_;
  const std::uint32_t incarnation_;
  const int file_;
  std::mutex mutex_;
  std::string line_;
};

}  // namespace campaign
