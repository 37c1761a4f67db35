// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>

// What every benchmark needs: a stopwatch, a median, and one JSON line for each figure.

namespace bench {

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// CPU seconds of this process, all threads, user and system.
inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// The largest resident size so far, in MiB.
inline double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// Prints {"bench":"name","figure":value,...}.
inline void print(const std::string& name, const std::vector<std::pair<std::string, double>>& figures) {
  std::printf("{\"bench\":\"%s\"", name.c_str());
  for (const auto& [figure, value] : figures) std::printf(",\"%s\":%.6g", figure.c_str(), value);
  std::printf("}\n");
  std::fflush(stdout);
}

/// Runs `measure` (returning one figure) five times after one warm-up; returns the median.
template <class F>
double median_of_five(F measure) {
  measure();
  std::vector<double> runs;
  for (int i = 0; i < 5; ++i) runs.push_back(measure());
  return median(std::move(runs));
}

}  // namespace bench
