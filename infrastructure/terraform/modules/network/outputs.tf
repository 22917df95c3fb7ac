output "network" {
  description = "Where the VPC is, and its private subnets, one a zone, in the order of the zones' names."
  value = {
    vpc_id            = aws_vpc.this.id
    vpc_cidr          = aws_vpc.this.cidr_block
    subnet_ids        = [for zone in local.zones : aws_subnet.private[zone].id]
    s3_prefix_list_id = aws_vpc_endpoint.s3.prefix_list_id
  }
}
