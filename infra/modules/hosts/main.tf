# A test fleet: machines with different operating systems, each sending readings like a device. They have a network
# of their own, as a real fleet has. No inbound connection reaches them; Session Manager opens a shell.

data "aws_region" "current" {}

locals {
  # The newest images, as AWS and the vendors publish them.
  published = {
    amazon-linux = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    ubuntu       = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
    windows      = "/aws/service/ami-windows-latest/Windows_Server-2022-English-Core-Base"
  }

  systems = toset([for host in var.hosts : host.system])

  images = merge(
    { for system, parameter in data.aws_ssm_parameter.image : system => parameter.insecure_value },
    { for image in data.aws_ami.rhel : "rhel" => image.id },
  )
}

data "aws_ssm_parameter" "image" {
  for_each = { for system, path in local.published : system => path if contains(local.systems, system) }

  name = each.value
}

# Red Hat publishes no parameter.
data "aws_ami" "rhel" {
  count = contains(local.systems, "rhel") ? 1 : 0

  owners      = ["309956199498"]
  most_recent = true

  filter {
    name   = "name"
    values = ["RHEL-9.*_HVM-*-x86_64-*-Hourly2-GP3"]
  }
  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

# --- The network

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = "${var.name}-hosts" }
}

resource "aws_default_security_group" "closed" {
  vpc_id  = aws_vpc.this.id
  ingress = []
  egress  = []

  tags = { Name = "${var.name}-hosts-default-closed" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-hosts" }
}

resource "aws_subnet" "this" {
  vpc_id     = aws_vpc.this.id
  cidr_block = cidrsubnet(var.cidr, 4, 0)

  tags = { Name = "${var.name}-hosts" }
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }

  tags = { Name = "${var.name}-hosts" }
}

resource "aws_route_table_association" "this" {
  subnet_id      = aws_subnet.this.id
  route_table_id = aws_route_table.this.id
}

resource "aws_security_group" "host" {
  name        = "${var.name}-hosts"
  description = "Machines without inbound connections"
  vpc_id      = aws_vpc.this.id
}

# Session Manager and the service; port 80 for a service without a certificate and for packages.
resource "aws_vpc_security_group_egress_rule" "out" {
  for_each = toset(["80", "443"])

  security_group_id = aws_security_group.host.id
  description       = "The service, Session Manager and packages"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = tonumber(each.key)
  to_port           = tonumber(each.key)
}

# Optional inbound rules; none by default.
resource "aws_vpc_security_group_ingress_rule" "in" {
  for_each = { for pair in setproduct(var.ingress.cidrs, var.ingress.ports) : "${pair[1]} from ${pair[0]}" => { cidr = pair[0], port = pair[1] } }

  security_group_id = aws_security_group.host.id
  description       = "Allowed by the variable ingress"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

# --- The machines

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "host" {
  name               = "${var.name}-host"
  description        = "Allows Session Manager"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy_attachment" "session_manager" {
  role       = aws_iam_role.host.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "host" {
  name = "${var.name}-host"
  role = aws_iam_role.host.name
}

resource "aws_instance" "host" {
  for_each = var.hosts

  ami                         = local.images[each.value.system]
  instance_type               = coalesce(each.value.instance_type, each.value.system == "windows" ? "t3.small" : "t3.micro")
  subnet_id                   = aws_subnet.this.id
  vpc_security_group_ids      = [aws_security_group.host.id]
  associate_public_ip_address = true
  iam_instance_profile        = aws_iam_instance_profile.host.name

  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/${each.value.system == "windows" ? "device.ps1" : "device.sh"}.tftpl", {
    url              = var.service_url
    sensor           = "${var.name}-${each.key}"
    interval_seconds = each.value.interval_seconds
    system           = each.value.system
    region           = data.aws_region.current.region
  })

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    encrypted   = true
    volume_type = "gp3"
  }

  tags        = { Name = "${var.name}-${each.key}" }
  volume_tags = { Name = "${var.name}-${each.key}" }

  lifecycle {
    # A newer image does not replace a machine; terraform apply -replace does.
    ignore_changes = [ami]
  }

  depends_on = [aws_route_table_association.this]
}
