// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <string>
#include <utility>

#include "suite.hpp"

// Hands on the broker: what tests/brokers/ctl does, from a case.

namespace chaos {

using namespace conformance;

/// How a command ended, and what it printed.
struct Ran {
  int status = 0;
  std::string output;
};

inline Ran run_command(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) violated("cannot run ", command);
  char part[4096];
  while (const auto count = std::fread(part, 1, sizeof part, pipe)) ran.output.append(part, count);
  ran.status = ::pclose(pipe);
  return ran;
}

/// tests/brokers/ctl with these arguments. Returns what it printed; the case ends when it fails.
inline std::string ctl(const std::string& arguments) {
  const Ran ran = run_command(OMNIBUS_CTL " " + arguments);
  if (ran.status != 0) violated("ctl ", arguments, " failed: ", ran.output);
  return ran.output;
}
/// Puts something right again when the case ends, however it ends.
class AtEnd {
 public:
  explicit AtEnd(std::string arguments) : arguments_{std::move(arguments)} {}
  ~AtEnd() { run(); }
  AtEnd(const AtEnd&) = delete;
  /// Does it now.
  void run() {
    if (!arguments_.empty()) (void)run_command(OMNIBUS_CTL " " + arguments_);
    arguments_.clear();
  }
  void forget() { arguments_.clear(); }

 private:
  std::string arguments_;
};

}  // namespace chaos
