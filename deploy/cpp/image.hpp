// What the examples share: images in and label maps out (PPM and PGM without any library, PNG where
// libpng is), and their command line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#ifdef WITH_PNG
#include <png.h>
#endif

// Height x width x 3, red first: what a file exported with --input uint8-nhwc takes as it is.
struct Image {
  std::size_t height = 0;
  std::size_t width = 0;
  std::vector<std::uint8_t> pixels;
};

inline bool ends_with(const std::string &text, const std::string &end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// A number in the header of a PPM; comments begin with # and end with the line.
inline std::size_t header_number(std::istream &file) {
  while (file >> std::ws && file.peek() == '#') {
    std::string comment;
    std::getline(file, comment);
  }
  std::size_t value = 0;
  file >> value;
  return value;
}

inline Image read_ppm(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be opened");
  char magic[2] = {};
  file.read(magic, 2);
  Image image;
  image.width = header_number(file);
  image.height = header_number(file);
  const std::size_t most = header_number(file);
  file.get();  // the one character before the pixels
  if (std::memcmp(magic, "P6", 2) != 0 || most != 255 || image.width == 0 || image.height == 0 ||
      image.width > 65536 || image.height > 65536)
    throw std::runtime_error(path + " is no 8-bit PPM (P6)");
  image.pixels.resize(3 * image.width * image.height);
  file.read(reinterpret_cast<char *>(image.pixels.data()),
            static_cast<std::streamsize>(image.pixels.size()));
  if (static_cast<std::size_t>(file.gcount()) != image.pixels.size())
    throw std::runtime_error(path + " is cut short");
  return image;
}

#ifdef WITH_PNG
inline Image read_png(const std::string &path) {
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_file(&png, path.c_str()))
    throw std::runtime_error(path + ": " + png.message);
  png.format = PNG_FORMAT_RGB;
  Image image;
  image.width = png.width;
  image.height = png.height;
  image.pixels.resize(PNG_IMAGE_SIZE(png));
  if (!png_image_finish_read(&png, nullptr, image.pixels.data(), 0, nullptr))
    throw std::runtime_error(path + ": " + png.message);
  return image;
}
#endif

inline Image read_image(const std::string &path) {
#ifdef WITH_PNG
  if (ends_with(path, ".png")) return read_png(path);
#endif
  return read_ppm(path);
}

// Of a file exported with --channels bgr: blue first.
inline void swap_channels(Image &image) {
  for (std::size_t i = 0; i + 2 < image.pixels.size(); i += 3)
    std::swap(image.pixels[i], image.pixels[i + 2]);
}

// Class numbers as gray values.
inline void write_labels(const std::string &path, const std::vector<std::uint8_t> &labels,
                         std::size_t height, std::size_t width) {
#ifdef WITH_PNG
  if (ends_with(path, ".png")) {
    png_image png = {};
    png.version = PNG_IMAGE_VERSION;
    png.width = static_cast<png_uint_32>(width);
    png.height = static_cast<png_uint_32>(height);
    png.format = PNG_FORMAT_GRAY;
    if (!png_image_write_to_file(&png, path.c_str(), 0, labels.data(), 0, nullptr))
      throw std::runtime_error(path + ": " + png.message);
    return;
  }
#endif
  std::ofstream file(path, std::ios::binary);
  file << "P5\n" << width << " " << height << "\n255\n";
  file.write(reinterpret_cast<const char *>(labels.data()),
             static_cast<std::streamsize>(labels.size()));
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

// PROGRAM MODEL IMAGE LABELS; the exit status: 0, 1 after an error, 2 for other arguments.
inline int main_of(int argc, char **argv, const char *model,
                   int (*run)(const std::string &, const std::string &, const std::string &)) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s %s IMAGE LABELS\n", argv[0], model);
    return 2;
  }
  try {
    return run(argv[1], argv[2], argv[3]);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
