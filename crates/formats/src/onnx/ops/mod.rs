//! The operations: one table, and one file for each family.

mod activation;
mod attention;
pub(super) mod cast;
mod constant;
mod control;
mod convolution;
mod elementwise;
mod gather;
mod loss;
mod matrix;
mod normalization;
mod pad;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod sequence;
pub(super) mod shape;
mod softmax;
mod sort;
mod spatial;

use super::call::Rule;
use super::graph::Node;

/// The rule of a node's operation, if there is one.
pub(super) fn rule(node: &Node) -> Option<Rule> {
    match node.domain.as_str() {
        "" => standard(&node.op),
        "com.microsoft" => microsoft(&node.op),
        "ai.onnx.ml" => learning(&node.op),
        _ => None,
    }
}

fn standard(op: &str) -> Option<Rule> {
    Some(match op {
        "Abs" => elementwise::abs,
        "Acos" => elementwise::acos,
        "Acosh" => elementwise::acosh,
        "Add" => elementwise::add,
        "And" => elementwise::and,
        "ArgMax" => sort::arg_max,
        "ArgMin" => sort::arg_min,
        "Asin" => elementwise::asin,
        "Asinh" => elementwise::asinh,
        "Atan" => elementwise::atan,
        "Atanh" => elementwise::atanh,
        "Attention" => attention::attention,
        "AveragePool" => pool::average,
        "BatchNormalization" => normalization::batch,
        "BitShift" => elementwise::bit_shift,
        "BitwiseAnd" => elementwise::and,
        "BitwiseNot" => elementwise::not,
        "BitwiseOr" => elementwise::or,
        "BitwiseXor" => elementwise::xor,
        "BlackmanWindow" => constant::blackman,
        "Cast" => cast::cast,
        "CastLike" => cast::cast_like,
        "Ceil" => elementwise::ceil,
        "Celu" => activation::celu,
        "CenterCropPad" => pad::center_crop_pad,
        "Clip" => elementwise::clip,
        "Col2Im" => spatial::column_to_image,
        "Compress" => gather::compress,
        "Concat" => shape::concat,
        "ConcatFromSequence" => sequence::concat_from_sequence,
        "Constant" => constant::constant,
        "ConstantOfShape" => constant::constant_of_shape,
        "Conv" => convolution::conv,
        "ConvTranspose" => convolution::conv_transpose,
        "Cos" => elementwise::cos,
        "Cosh" => elementwise::cosh,
        "CumSum" => reduce::cumulative_sum,
        "DFT" => spatial::dft,
        "DepthToSpace" => spatial::depth_to_space,
        "Det" => matrix::determinant,
        "Div" => elementwise::div,
        "Dropout" => elementwise::dropout,
        "Einsum" => matrix::einsum,
        "Elu" => activation::elu,
        "Equal" => elementwise::equal,
        "Erf" => elementwise::erf,
        "Exp" => elementwise::exp,
        "Expand" => shape::expand,
        "EyeLike" => constant::eye_like,
        "Flatten" => shape::flatten,
        "Floor" => elementwise::floor,
        "GRU" => recurrent::gru,
        "Gather" => gather::gather,
        "GatherElements" => gather::gather_elements,
        "GatherND" => gather::gather_nd,
        "Gelu" => activation::gelu,
        "Gemm" => matrix::gemm,
        "GlobalAveragePool" => pool::global_average,
        "GlobalLpPool" => pool::global_lp,
        "GlobalMaxPool" => pool::global_max,
        "Greater" => elementwise::greater,
        "GreaterOrEqual" => elementwise::greater_equal,
        "GridSample" => spatial::grid_sample,
        "GroupNormalization" => normalization::group,
        "HammingWindow" => constant::hamming,
        "HannWindow" => constant::hann,
        "HardSigmoid" => activation::hard_sigmoid,
        "HardSwish" => activation::hard_swish,
        "Hardmax" => softmax::hardmax,
        "Identity" => elementwise::identity,
        "If" => control::branch,
        "InstanceNormalization" => normalization::instance,
        "IsInf" => elementwise::is_inf,
        "IsNaN" => elementwise::is_nan,
        "LRN" => normalization::local_response,
        "LSTM" => recurrent::lstm,
        "LayerNormalization" => normalization::layer,
        "LeakyRelu" => activation::leaky_relu,
        "Less" => elementwise::less,
        "LessOrEqual" => elementwise::less_equal,
        "Log" => elementwise::log,
        "LogSoftmax" => softmax::log_softmax,
        "Loop" => control::repeat,
        "LpNormalization" => normalization::lp,
        "LpPool" => pool::lp,
        "MatMul" => matrix::matmul,
        "Max" => elementwise::max,
        "MaxPool" => pool::max,
        "Mean" => elementwise::mean,
        "MeanVarianceNormalization" => normalization::mean_variance,
        "Min" => elementwise::min,
        "Mish" => activation::mish,
        "Mod" => elementwise::modulo,
        "Mul" => elementwise::mul,
        "Neg" => elementwise::neg,
        "NegativeLogLikelihoodLoss" => loss::negative_log_likelihood,
        "Not" => elementwise::not,
        "OneHot" => gather::one_hot,
        "Or" => elementwise::or,
        "PRelu" => activation::prelu,
        "Pad" => pad::pad,
        "Pow" => elementwise::pow,
        "RMSNormalization" => normalization::rms,
        "RNN" => recurrent::rnn,
        "Range" => constant::range,
        "Reciprocal" => elementwise::reciprocal,
        "ReduceL1" => reduce::l1,
        "ReduceL2" => reduce::l2,
        "ReduceLogSum" => reduce::log_sum,
        "ReduceLogSumExp" => reduce::log_sum_exp,
        "ReduceMax" => reduce::max,
        "ReduceMean" => reduce::mean,
        "ReduceMin" => reduce::min,
        "ReduceProd" => reduce::product,
        "ReduceSum" => reduce::sum,
        "ReduceSumSquare" => reduce::sum_square,
        "Relu" => activation::relu,
        "Reshape" => shape::reshape,
        "Resize" => resize::resize,
        "ReverseSequence" => sequence::reverse_sequence,
        "RotaryEmbedding" => attention::rotary_embedding,
        "Round" => elementwise::round,
        "Scan" => control::scan,
        "Scatter" => scatter::scatter_elements,
        "ScatterElements" => scatter::scatter_elements,
        "ScatterND" => scatter::scatter_nd,
        "Selu" => activation::selu,
        "SequenceAt" => sequence::sequence_at,
        "SequenceConstruct" => sequence::sequence_construct,
        "SequenceEmpty" => sequence::sequence_empty,
        "SequenceErase" => sequence::sequence_erase,
        "SequenceInsert" => sequence::sequence_insert,
        "SequenceLength" => sequence::sequence_length,
        "Shape" => shape::shape,
        "Shrink" => activation::shrink,
        "Sigmoid" => activation::sigmoid,
        "Sign" => elementwise::sign,
        "Sin" => elementwise::sin,
        "Sinh" => elementwise::sinh,
        "Size" => shape::size,
        "Slice" => shape::slice,
        "Softmax" => softmax::softmax,
        "SoftmaxCrossEntropyLoss" => loss::softmax_cross_entropy,
        "Softplus" => activation::softplus,
        "Softsign" => activation::softsign,
        "SpaceToDepth" => spatial::space_to_depth,
        "Split" => shape::split,
        "SplitToSequence" => sequence::split_to_sequence,
        "Sqrt" => elementwise::sqrt,
        "Squeeze" => shape::squeeze,
        "Sub" => elementwise::sub,
        "Sum" => elementwise::sum,
        "Swish" => activation::swish,
        "Tan" => elementwise::tan,
        "Tanh" => elementwise::tanh,
        "ThresholdedRelu" => activation::thresholded_relu,
        "Tile" => shape::tile,
        "TopK" => sort::top_k,
        "Transpose" => shape::transpose,
        "Trilu" => constant::trilu,
        "Unsqueeze" => shape::unsqueeze,
        "Upsample" => resize::resize,
        "Where" => elementwise::select,
        "Xor" => elementwise::xor,
        _ => return None,
    })
}

/// What ONNX Runtime's own optimiser and some exporters put in place of several operations.
fn microsoft(op: &str) -> Option<Rule> {
    Some(match op {
        "FastGelu" => activation::fast_gelu,
        "FusedMatMul" => matrix::fused_matmul,
        "Gelu" => activation::gelu,
        "QuickGelu" => activation::quick_gelu,
        "SimplifiedLayerNormalization" => normalization::rms,
        _ => return None,
    })
}

/// What skl2onnx writes beside the standard operations.
fn learning(op: &str) -> Option<Rule> {
    Some(match op {
        "ArrayFeatureExtractor" => gather::feature_extractor,
        "Normalizer" => normalization::normalizer,
        "Scaler" => normalization::scaler,
        _ => return None,
    })
}
