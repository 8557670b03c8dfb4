//! The server's own message against the one in `proto/`.

use prost::Message as _;
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use super::*;
use crate::grpc::v1::{CacheStatus, FILE_DESCRIPTOR_SET};

/// The message as any other generator writes it.
#[derive(Clone, PartialEq, ::prost::Message)]
struct Plain {
    #[prost(int32, tag = "1")]
    index: i32,
    #[prost(float, repeated, tag = "2")]
    values: Vec<f32>,
    #[prost(sint32, repeated, tag = "3")]
    int_values: Vec<i32>,
    #[prost(bytes = "vec", tag = "4")]
    data: Vec<u8>,
    #[prost(enumeration = "CacheStatus", tag = "5")]
    cache_status: i32,
    #[prost(int32, optional, tag = "6")]
    token_count: Option<i32>,
    #[prost(bool, tag = "7")]
    truncated: bool,
}

impl Plain {
    fn twin(&self) -> Embedding {
        let values: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Embedding {
            index: self.index,
            values: values.into(),
            int_values: self.int_values.clone(),
            data: self.data.clone().into(),
            cache_status: self.cache_status,
            token_count: self.token_count,
            truncated: self.truncated,
        }
    }
}

/// An embedding with every field set, of so many numbers.
fn plain(dimension: u16) -> Plain {
    Plain {
        index: 16_383,
        values: (0..dimension).map(|number| f32::from(number) / 3.0 - 100.0).collect(),
        int_values: (0..i32::from(dimension)).map(|number| number % 384 - 128).collect(),
        data: (0..dimension).map(|number| number.to_le_bytes()[0]).collect(),
        cache_status: CacheStatus::Coalesced as i32,
        token_count: Some(0),
        truncated: true,
    }
}

fn descriptor() -> DescriptorProto {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    set.file
        .into_iter()
        .filter(|file| file.package() == "voyage.gateway.v1")
        .flat_map(|file| file.message_type)
        .find(|message| message.name() == "Embedding")
        .unwrap()
}

#[test]
fn both_messages_are_the_same_bytes() {
    for dimension in [0, 1, 256, 512, 1024, 2048] {
        let (plain, twin) = (plain(dimension), plain(dimension).twin());
        assert_eq!(plain.encode_to_vec(), twin.encode_to_vec(), "{dimension}");
        assert_eq!(Plain::decode(&*twin.encode_to_vec()).unwrap(), plain, "{dimension}");
        assert_eq!(Embedding::decode(&*plain.encode_to_vec()).unwrap(), twin, "{dimension}");
        assert_eq!(twin.floats(), plain.values, "{dimension}");
    }
}

/// Zeroes are left out by both, the optional count's excepted.
#[test]
fn an_empty_message_is_empty_in_both() {
    assert_eq!(Embedding::default().encoded_len(), 0);
    let counted = Embedding { token_count: Some(0), ..Embedding::default() };
    assert_eq!(counted.encode_to_vec(), [6 << 3, 0]);
}

#[test]
fn floats_of_a_cut_vector_are_the_whole_ones() {
    let values = Bytes::from_static(&[0, 0, 0x80, 0x3f, 0, 0]);
    assert_eq!(Embedding { values, ..Embedding::default() }.floats(), [1.0]);
}

/// A field that is added, moved or retyped in `proto/` has to be followed in `wire.rs`, and then here.
#[test]
fn the_proto_has_exactly_the_fields_of_the_twin() {
    let message = descriptor();
    let fields: Vec<_> = message
        .field
        .iter()
        .map(|field| (field.name(), field.number(), field.r#type(), field.label()))
        .collect();
    let expected = [
        ("index", 1, Type::Int32, Label::Optional),
        ("values", 2, Type::Float, Label::Repeated),
        ("int_values", 3, Type::Sint32, Label::Repeated),
        ("data", 4, Type::Bytes, Label::Optional),
        ("cache_status", 5, Type::Enum, Label::Optional),
        ("token_count", 6, Type::Int32, Label::Optional),
        ("truncated", 7, Type::Bool, Label::Optional),
    ];
    assert_eq!(fields, expected);

    let explicit: Vec<_> = message
        .field
        .iter()
        .filter(|field| field.proto3_optional())
        .map(prost_types::FieldDescriptorProto::name)
        .collect();
    assert_eq!(explicit, ["token_count"]);
    assert_eq!(message.field[4].type_name(), ".voyage.gateway.v1.CacheStatus");
    // Unpacked floats would be other bytes.
    for field in &message.field {
        assert!(field.options.as_ref().and_then(|options| options.packed).is_none());
    }
    assert!(message.nested_type.is_empty() && message.enum_type.is_empty());
}

/// The field numbers that the twin really writes, read off its bytes.
#[test]
fn the_twin_writes_the_protos_field_numbers() {
    const VARINT: u8 = 0;
    const LENGTH: u8 = 2;
    let message = Embedding {
        index: 1,
        values: Bytes::from_static(&[0; 4]),
        int_values: vec![1],
        data: Bytes::from_static(&[0]),
        cache_status: 1,
        token_count: Some(1),
        truncated: true,
    };
    let tag = |number: u8, wire: u8| number << 3 | wire;
    let expected = [
        &[tag(1, VARINT), 1][..],
        &[tag(2, LENGTH), 4, 0, 0, 0, 0],
        &[tag(3, LENGTH), 1, 2],
        &[tag(4, LENGTH), 1, 0],
        &[tag(5, VARINT), 1],
        &[tag(6, VARINT), 1],
        &[tag(7, VARINT), 1],
    ];
    assert_eq!(message.encode_to_vec(), expected.concat());
}
