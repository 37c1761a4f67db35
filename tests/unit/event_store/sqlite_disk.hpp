// SPDX-License-Identifier: MIT
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A disk that SQLite writes to in this process, which knows what a loss of power would leave, and fails when it
// is told to.

namespace omnibus::unit {

/// What a disk has of some files, by their last names.
using DiskImage = std::map<std::string, std::string>;

/// While it lives, all files that SQLite opens in this process are on it; close them before. What was written and
/// not flushed is lost when the power goes, or is there, or a part of it.
class FaultyDisk {
 public:
  FaultyDisk() : real_{sqlite3_vfs_find(nullptr)}, vfs_{*real_} {
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.zName = "omnibus-faulty";
    vfs_.pAppData = this;
    vfs_.xOpen = &open;
    vfs_.xDelete = &remove;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
  }
  FaultyDisk(const FaultyDisk&) = delete;

  /// What writes and flushes return instead of being done, or SQLITE_OK.
  std::atomic<int> writes{SQLITE_OK}, flushes{SQLITE_OK};
  /// Files can only be read.
  std::atomic<bool> read_only{false};
  /// How many flushes there were.
  std::atomic<std::uint64_t> flushed{0};
  /// Is called at each change, by who makes it.
  std::function<void()> on_change;

  /// What a loss of power at this moment may leave: all that was flushed, and of the rest, sector by sector, what
  /// `luck()` says.
  DiskImage after_power_loss(const std::function<bool()>& luck) {
    std::lock_guard lock{mutex_};
    DiskImage image;
    for (const auto& [path, contents] : files_) {
      std::string bytes = contents.flushed;
      for (const Change& each : contents.pending) {
        if (each.is_cut) {
          if (luck()) bytes.resize(std::min(bytes.size(), each.at));
          continue;
        }
        for (std::size_t at = 0; at < each.bytes.size();) {
          const std::size_t size = std::min(each.bytes.size() - at, sector - (each.at + at) % sector);
          if (luck()) put(bytes, each.at + at, std::string_view{each.bytes}.substr(at, size));
          at += size;
        }
      }
      if (!bytes.empty()) image[std::filesystem::path{path}.filename()] = std::move(bytes);
    }
    return image;
  }

 private:
  static constexpr std::size_t sector = 512;

  struct Change {
    std::size_t at;
    std::string bytes;
    bool is_cut;
  };
  struct Contents {
    std::string flushed;
    std::vector<Change> pending;
  };
  struct File {
    sqlite3_file base;
    FaultyDisk* disk;
    Contents* contents;
    sqlite3_file* real() noexcept { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };

  static void put(std::string& bytes, std::size_t at, std::string_view written) {
    if (bytes.size() < at + written.size()) bytes.resize(at + written.size());
    std::memcpy(bytes.data() + at, written.data(), written.size());
  }
  static File& file(sqlite3_file* handle) noexcept { return *reinterpret_cast<File*>(handle); }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* handle, int flags, int* out) {
    auto& disk = *static_cast<FaultyDisk*>(vfs->pAppData);
    File& made = file(handle);
    made = {{nullptr}, &disk, nullptr};
    if (disk.read_only && (flags & SQLITE_OPEN_MAIN_DB) != 0) {
      flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
    }
    const int code = disk.real_->xOpen(disk.real_, name, made.real(), flags, out);
    if (made.real()->pMethods != nullptr) made.base.pMethods = &methods;
    if (code != SQLITE_OK || name == nullptr) return code;
    std::lock_guard lock{disk.mutex_};
    const auto [found, is_new] = disk.files_.try_emplace(name);
    if (is_new) {
      std::ifstream in{name, std::ios::binary};
      found->second.flushed.assign(std::istreambuf_iterator<char>{in}, {});
    }
    made.contents = &found->second;
    return code;
  }
  static int remove(sqlite3_vfs* vfs, const char* name, int flush) {
    auto& disk = *static_cast<FaultyDisk*>(vfs->pAppData);
    {
      std::lock_guard lock{disk.mutex_};
      const auto found = disk.files_.find(name);
      if (found != disk.files_.end()) found->second = {};
    }
    return disk.real_->xDelete(disk.real_, name, flush);
  }

  void changed(File& of, Change change) {
    {
      std::lock_guard lock{mutex_};
      if (of.contents != nullptr) of.contents->pending.push_back(std::move(change));
    }
    if (on_change) on_change();
  }
  static int write(sqlite3_file* handle, const void* bytes, int size, sqlite3_int64 at) {
    File& of = file(handle);
    if (const int code = of.disk->writes; code != SQLITE_OK) return code;
    const int code = of.real()->pMethods->xWrite(of.real(), bytes, size, at);
    if (code == SQLITE_OK) {
      of.disk->changed(of, {static_cast<std::size_t>(at),
                            {static_cast<const char*>(bytes), static_cast<std::size_t>(size)}, false});
    }
    return code;
  }
  static int truncate(sqlite3_file* handle, sqlite3_int64 size) {
    File& of = file(handle);
    const int code = of.real()->pMethods->xTruncate(of.real(), size);
    if (code == SQLITE_OK) of.disk->changed(of, {static_cast<std::size_t>(size), {}, true});
    return code;
  }
  static int flush(sqlite3_file* handle, int flags) {
    File& of = file(handle);
    ++of.disk->flushed;
    if (of.disk->on_change) of.disk->on_change();
    if (const int code = of.disk->flushes; code != SQLITE_OK) return code;
    {
      std::lock_guard lock{of.disk->mutex_};
      if (of.contents != nullptr) {
        for (const Change& each : of.contents->pending) {
          if (each.is_cut) {
            of.contents->flushed.resize(std::min(of.contents->flushed.size(), each.at));
          } else {
            put(of.contents->flushed, each.at, each.bytes);
          }
        }
        of.contents->pending.clear();
      }
    }
    (void)flags;  // the disk below need not be bothered
    return SQLITE_OK;
  }

  static int close(sqlite3_file* handle) { return file(handle).real()->pMethods->xClose(file(handle).real()); }
  static int read(sqlite3_file* handle, void* into, int size, sqlite3_int64 at) {
    return file(handle).real()->pMethods->xRead(file(handle).real(), into, size, at);
  }
  static int size(sqlite3_file* handle, sqlite3_int64* size) {
    return file(handle).real()->pMethods->xFileSize(file(handle).real(), size);
  }
  static int lock(sqlite3_file* handle, int how) {
    return file(handle).real()->pMethods->xLock(file(handle).real(), how);
  }
  static int unlock(sqlite3_file* handle, int how) {
    return file(handle).real()->pMethods->xUnlock(file(handle).real(), how);
  }
  static int is_reserved(sqlite3_file* handle, int* out) {
    return file(handle).real()->pMethods->xCheckReservedLock(file(handle).real(), out);
  }
  static int control(sqlite3_file* handle, int what, void* argument) {
    return file(handle).real()->pMethods->xFileControl(file(handle).real(), what, argument);
  }
  static int sector_size(sqlite3_file* handle) {
    return file(handle).real()->pMethods->xSectorSize(file(handle).real());
  }
  static int characteristics(sqlite3_file* handle) {
    return file(handle).real()->pMethods->xDeviceCharacteristics(file(handle).real());
  }
  static int map_shared(sqlite3_file* handle, int page, int size, int extend, void volatile** out) {
    return file(handle).real()->pMethods->xShmMap(file(handle).real(), page, size, extend, out);
  }
  static int lock_shared(sqlite3_file* handle, int offset, int count, int flags) {
    return file(handle).real()->pMethods->xShmLock(file(handle).real(), offset, count, flags);
  }
  static void barrier(sqlite3_file* handle) { file(handle).real()->pMethods->xShmBarrier(file(handle).real()); }
  static int unmap_shared(sqlite3_file* handle, int remove_too) {
    return file(handle).real()->pMethods->xShmUnmap(file(handle).real(), remove_too);
  }

  static constexpr sqlite3_io_methods methods{
      2,           &close,       &read,        &write,   &truncate,     &flush, &size, &lock, &unlock,
      &is_reserved, &control,    &sector_size, &characteristics, &map_shared, &lock_shared, &barrier,
      &unmap_shared, nullptr,    nullptr};

  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  std::mutex mutex_;
  std::map<std::string, Contents> files_;
};

}  // namespace omnibus::unit
