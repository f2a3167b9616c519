// Labels of an image with OpenVINO: openvino_labels MODEL.xml IMAGE.ppm LABELS.pgm
//
// MODEL is what `openseg export CONFIG CKPT MODEL.xml` writes: one RGB image (1, H, W, 3) uint8 in,
// labels (1, H, W) uint8 out. Normalization, padding, resize and arg-max are inside.
#include <chrono>
#include <cstdio>
#include <openvino/openvino.hpp>

#include "image.hpp"

static int run(const std::string &model, const std::string &image_path, const std::string &out) {
  Image image = read_image(image_path);
  ov::Core core;
  const std::shared_ptr<ov::Model> read = core.read_model(model);
  // which --channels of the export sets
  const std::vector<std::string> key{"model_info", "reverse_input_channels"};
  if (read->has_rt_info(key) && read->get_rt_info<std::string>(key) == "True")
    swap_channels(image);
  // f32 by name: OpenVINO takes bfloat16 by itself on some processors
  ov::CompiledModel compiled =
      core.compile_model(read, "CPU", ov::hint::inference_precision(ov::element::f32));
  const auto &input = compiled.input();
  const auto &output = compiled.output(0);
  if (input.get_element_type() != ov::element::u8 || output.get_element_type() != ov::element::u8)
    throw std::runtime_error(model + " takes no uint8 image or gives no uint8 labels: export it "
                                     "with --input uint8-nhwc --output labels");
  const ov::Shape shape{1, image.height, image.width, 3};
  if (!input.get_partial_shape().compatible(ov::PartialShape(shape)))
    throw std::runtime_error(model + " takes images of the shape " +
                             input.get_partial_shape().to_string() + ", this one is another");
  ov::InferRequest request = compiled.create_infer_request();
  request.set_input_tensor(ov::Tensor(ov::element::u8, shape, image.pixels.data()));
  const auto began = std::chrono::steady_clock::now();
  request.infer();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  const ov::Tensor labels = request.get_output_tensor(0);
  const std::uint8_t *first = labels.data<std::uint8_t>();
  write_labels(out, {first, first + labels.get_size()}, image.height, image.width);
  std::printf("%s: %zux%zu pixels in %.3f s\n", out.c_str(), image.width, image.height,
              seconds.count());
  return 0;
}

int main(int argc, char **argv) { return main_of(argc, argv, "MODEL.xml", run); }
