# Changes a test's Request Tracker as its administrator would, with its own API: alter.pl QUEUE USER 'PERL'. The Perl sees the
# queue, the connector's user, both custom fields, and what is below.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;

my ( $queue_name, $user_name, $code ) = @ARGV;
our $system = RT->SystemUser;

sub must {
    my ( $ok, $message ) = @_;
    die( ( $message // 'failed' ) . "\n" ) unless $ok;
    return $ok;
}

our $queue = RT::Queue->new($system);
must( $queue->Load($queue_name) );
our $user = RT::User->new($system);
must( $user->Load($user_name) );

sub field {
    my $field = RT::CustomField->new($system);
    must( $field->LoadByCols( Name => shift, LookupType => 'RT::Queue-RT::Ticket' ) );
    return $field;
}
our $flag = field('synchronizeWithGoogleCloudSupport');
our $name = field('custom_field_google_name');

sub grant  { must( $user->PrincipalObj->GrantRight( Right => $_[0], Object => $_[1] ) ) }
sub revoke { must( $user->PrincipalObj->RevokeRight( Right => $_[0], Object => $_[1] ) ) }

# Puts a new custom field of another type on the queue, in place of one of the two.
sub replace_field {
    my ( $old, %new ) = @_;
    must( $old->RemoveFromObject($queue) );
    my $field = RT::CustomField->new($system);
    must( $field->Create( LookupType => 'RT::Queue-RT::Ticket', %new ) );
    must( $field->AddToObject($queue) );
    for my $right ( 'SeeCustomField', 'ModifyCustomField' ) { grant( $right, $field ) }
    return $field;
}

eval "$code; 1" or die $@;
