// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "commands.hpp"

// Keys and certificates for TLS, made by openssl.

namespace chaos {

/// A folder of keys and certificates: of two authorities, `ca` and `ca2`; of a server and a client,
/// which `ca` vouches for; of a stranger, whom `ca2` does.
class Certificates {
 public:
  /// Those that a server has already.
  explicit Certificates(const std::string& folder) : folder_{folder} {}
  /// New ones, which go with this object.
  Certificates() : ours_{true} {
    std::string folder = std::filesystem::temp_directory_path() / "omnibus-tls.XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) violated("cannot make a folder ", folder);
    folder_ = folder;
    const Ran ran = run_command("cd '" + folder + "' && " OMNIBUS_CERTIFICATES);
    if (ran.status == 0) return;
    remove();
    violated("cannot make certificates: ", ran.output);
  }
  ~Certificates() { remove(); }
  Certificates(const Certificates&) = delete;

  std::string file(const std::string& name) const { return folder_ / name; }
  /// What is in the private keys, line by line.
  std::vector<std::string> secrets() const {
    std::vector<std::string> lines;
    for (const auto& each : std::filesystem::directory_iterator{folder_}) {
      if (each.path().extension() != ".key") continue;
      std::ifstream key{each.path()};
      for (std::string line; std::getline(key, line);) lines.push_back(line);
    }
    return lines;
  }

 private:
  void remove() {
    if (!ours_) return;
    std::error_code unheard;
    std::filesystem::remove_all(folder_, unheard);
  }

  std::filesystem::path folder_;
  bool ours_ = false;
};

}  // namespace chaos
